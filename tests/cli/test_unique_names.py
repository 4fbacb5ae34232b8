"""Equal names of different things."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from exo_graphql.cli.unique_names import with_unique_names
from tests.cli.conftest import command_at
from tests.support.cases import case
from tests.support.threaded import served

ODD = case("cli-odd-names")


class Exo(BaseHTTPRequestHandler):
    """An exo that has one state."""

    def do_GET(self) -> None:
        body = {"/state": ODD, "/node_id": next(iter(ODD["lastSeen"])), "/models": {"data": []}}.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def exo() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Exo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(10)


def test_models_of_equal_short_names_are_with_unique_names_by_their_owners() -> None:
    with exo() as url, served(None, demo=False, exo_url=(url,)) as server:
        server.until(lambda: server.server.components.poller.snapshot is not None)
        run = command_at(server.url)
        for command in (["models"], ["status"], ["nodes"]):
            out = run(*command).out
            assert "mlx-community/llama-3b" in out, command
            assert "other/llama-3b" in out, command
        downloads = run("downloads").out
        assert sorted(line.split()[0] for line in downloads.splitlines()[1:]) == [
            "mlx-community/llama-3b",
            "other/llama-3b",
            "other/llama-3b",
        ]


def test_names_that_nodes_give_themselves_do_not_break_tables() -> None:
    with exo() as url, served(None, demo=False, exo_url=(url,)) as server:
        server.until(lambda: server.server.components.poller.snapshot is not None)
        ran = command_at(server.url)("nodes")
    head, *rows = ran.out.splitlines()
    assert len(rows) == 3
    assert all(line.isprintable() for line in (head, *rows))
    assert any(row.startswith("[red]bold[/red] ") for row in rows)


def test_a_step_has_a_name_and_no_id_and_keeps_it() -> None:
    data = [{"id": "a/load", "name": "load"}, {"id": "b/load", "name": "load"}, {"name": "load", "state": "RUNNING"}]
    assert [thing["name"] for thing in with_unique_names(data)] == ["a/load", "b/load", "load"]
