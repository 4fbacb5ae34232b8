"""Webhooks on the command line."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from exo_graphql.simulator import SimulatedExo, tiny_scenario
from exo_graphql.webhooks.secret import new_secret
from tests.cli.conftest import Command, command_at
from tests.support.threaded import served


class _Refuses(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(403)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def refusing() -> Iterator[str]:
    """Host and port of a receiver that takes nothing."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_webhooks_are_listed_and_tested(refusing: str) -> None:
    url = f"http://{refusing}/secret-path?kinds=MODEL_LOST&severity=ERROR&token=secret"
    exo = SimulatedExo(tiny_scenario(), seed=1)
    with served(exo, webhook_url=(url,), webhook_secret=new_secret()) as server:
        command = command_at(server.url)
        listed = command("webhooks")
        assert (listed.code, listed.out.split()[7:12]) == (0, [refusing, "WORKING", "0", "0", "0"])
        assert "MODEL_LOST from ERROR on" in listed.out
        tested = command("webhooks", "test")
        assert tested.code == 1
        assert tested.out == f"Failed  {refusing}  It answered 403 Forbidden.\n"
        assert "secret" not in listed.out + tested.out + tested.err
        assert command("--json", "webhooks", "test", refusing).json["testWebhooks"]["results"][0]["status"] == 403
        unknown = command("webhooks", "test", "elsewhere")
        assert unknown.code == 1
        assert f"Use one of: {refusing}." in unknown.err


def test_the_secret_is_made_once_and_a_given_one_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command: Command = command_at("http://127.0.0.1:1")
    made = command("webhooks", "secret", "--state-dir", str(tmp_path))
    assert made.code == 0
    Webhook(made.out.strip())
    assert command("webhooks", "secret", "--state-dir", str(tmp_path)).out == made.out
    given = new_secret()
    monkeypatch.setenv("EXO_GRAPHQL_WEBHOOK_SECRET", given)
    assert command("webhooks", "secret", "--state-dir", str(tmp_path)).out == f"{given}\n"
    monkeypatch.setenv("EXO_GRAPHQL_WEBHOOK_SECRET", "hunter2-hunter2-hunter2")
    wrong = command("webhooks", "secret")
    assert (wrong.code, "does not begin with whsec_" in wrong.err, "hunter2" in wrong.err) == (1, True, False)
