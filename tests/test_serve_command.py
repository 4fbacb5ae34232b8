"""`serve` without the command line: its flags mean what Typer reads, and what it does not use is not loaded."""

import errno
import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
import typer

from exo_graphql import program, serve_command
from exo_graphql.removed_settings import REMOVED
from exo_graphql.serve import _Advice
from exo_graphql.serve_command import flag, plain_flags
from exo_graphql.settings import Settings
from exo_graphql.simulator.scenario import SMALL_MODELS
from tests.support.running import PATIENCE

Read = Callable[[list[str]], dict[str, Any] | None]


@pytest.fixture
def by_typer(monkeypatch: pytest.MonkeyPatch) -> Read:
    """What Typer passes on; None where it prints help or what is wrong."""
    passed: list[dict[str, Any]] = []

    def start(given: dict[str, Any]) -> int:
        passed.append(given)
        return 0

    monkeypatch.setattr(serve_command, "start", start)
    command = program._serve_command()
    wrong_usage: Any = typer.BadParameter.__base__

    def read(arguments: list[str]) -> dict[str, Any] | None:
        passed.clear()
        try:
            command.main(arguments, standalone_mode=False)
        except wrong_usage:
            assert not passed
        return passed[0] if passed else None

    return read


def forms() -> list[list[str]]:
    """The flag of every setting, as it may be given and as it may not."""
    found = []
    for name, field in Settings.model_fields.items():
        switch, option = f"--no-{flag(name)[2:]}", flag(name)
        if field.annotation is bool:
            found += [[option], [switch], [switch, option], [f"{option}=true"], [option, "true"]]
            continue
        words = (
            *map(str, get_args(field.annotation)),
            "7",
            "-7",
            "1.5",
            "1_0",
            " 7",
            "\N{ARABIC-INDIC DIGIT SEVEN}",
            "a=b",
            "folder/file",
            "",
        )
        found += [form for word in words for form in ([option, word], [f"{option}={word}"])]
        found += [[option], [switch], [option, "7", option, "8"]]
    removed = [[flag(name), *value] for name in REMOVED for value in ([], ["7"])]
    together = ["--demo", "--fault", "hang", "--port=7", "--fault", "error@5", "--no-introspection"]
    return [
        *found,
        *removed,
        [],
        together,
        ["--help"],
        ["-h"],
        ["word"],
        ["--"],
        ["--", "--demo"],
        ["--dem"],
        ["--json"],
    ]


def test_what_is_read_without_typer_is_what_typer_reads(by_typer: Read) -> None:
    read = 0
    for arguments in forms():
        plain = plain_flags(arguments)
        if plain is not None:
            # As text, which tells 7 from 7.0 and from "7".
            assert repr(sorted(plain.items())) == repr(sorted((by_typer(arguments) or {}).items())), arguments
            read += 1
    assert read > 2 * len(Settings.model_fields), "and that is most of what is valid"


# What `serve` has no use for, or not before somebody uses it; loaded at the start it would take 20 MB and 0.2 s.
UNUSED = {
    *("fastapi", "opentelemetry", "exo_graphql.simulator.routes"),
    *("typer", "rich", "click", "pygments", "multiprocessing", "exo_graphql.program", "exo_graphql.cli.commands"),
    *("mcp", "psycopg", "exo_graphql.mcp.server", "exo_graphql.storage.postgres"),
}


ACCEPTED = "application/json, text/event-stream"


def test_a_server_loads_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    program = ("-X", "importtime", "-c", "from exo_graphql.main import main; main()")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EXO_GRAPHQL_")}
    said = tmp_path / "said"
    with (
        said.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, *program, "serve", "--demo", "--port", "0", "--state-dir", str(tmp_path)],
            stderr=stderr,
            text=True,
            env=environment,
        ) as server,
        httpx.Client(trust_env=False, timeout=PATIENCE) as client,
    ):
        try:
            while (found := re.search(r"(http://127.0.0.1:\d+)/graphql", said.read_text())) is None:
                assert server.poll() is None, said.read_text()
                time.sleep(0.05)
            query = {"query": "{ models(loaded: true) { id status { phase } } nodes { id } }"}
            assert client.post(found[0], json=query).json()["data"]["nodes"]
            # What is loaded when it is used is there: FastAPI for a command to the demo, the SDK for MCP.
            command = {"query": f'mutation {{ loadModel(model: "{SMALL_MODELS[0]}") {{ error {{ code }} }} }}'}
            assert client.post(found[0], json=command).json()["data"]["loadModel"]["error"] is None
            ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
            asked = client.post(f"{found[1]}/mcp", json=ping, headers={"accept": ACCEPTED})
            assert asked.status_code < 500, asked.text
            server.terminate()
            server.wait(PATIENCE)
        finally:
            server.kill()
    before = said.read_text()[: found.start()].splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in before if line.startswith("import time:")}
    assert server.returncode == 0
    assert "exo_graphql.serve" in loaded
    assert {name for name in loaded if name in UNUSED or name.partition(".")[0] in UNUSED} == set()


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.EADDRINUSE, "address already in use"), "--port"),
        (OSError(errno.EACCES, "permission denied"), "--port from 1024 on"),
        (OSError(errno.EADDRNOTAVAIL, "cannot assign requested address"), "--host"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "--host"),
    ],
)
def test_an_address_that_cannot_be_listened_at_is_said_with_the_flag_to_change(error: OSError, advice: str) -> None:
    record = logging.makeLogRecord({"msg": error})
    assert _Advice().filter(record)
    assert record.getMessage().startswith(str(error))
    assert advice in record.getMessage()
