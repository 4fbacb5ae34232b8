"""The global options."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner, Result

from exo_graphql.program import app
from tests.cli.conftest import Command, command_at
from tests.support.threaded import Served


def run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(
        app, list(arguments), env={"EXO_GRAPHQL_URL": None, "EXO_GRAPHQL_TOKEN": None, **variables}
    )


def test_host_and_port_find_the_server_as_url_does(day: Served) -> None:
    port = str(day.relay.port)
    for options in (["--url", f"127.0.0.1:{port}"], ["--host", "localhost", "--port", port], ["--port", port]):
        assert run(*options, "health").exit_code == 0


def test_the_variable_finds_the_server_and_an_option_wins_over_it(day: Served) -> None:
    assert run("health", EXO_GRAPHQL_URL=day.url).exit_code == 0
    assert run("--port", str(day.relay.port), "health", EXO_GRAPHQL_URL="http://127.0.0.1:1").exit_code == 0
    assert run("--port", "1", "health", EXO_GRAPHQL_URL=day.url).exit_code == 69


def test_json_may_come_before_or_after_the_command(look: Command) -> None:
    before, after = look("--json", "health").json, look("health", "--json").json
    assert before.keys() == after.keys() == {"cluster"}


def test_json_after_two_dashes_is_a_name(look: Command) -> None:
    ran = look("nodes", "--", "--json")
    assert (ran.code, ran.out) == (1, "")
    assert "No node is called '--json'" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["status", "extra"],
        ["--nonsense", "status"],
        ["--url", "ftp://studio", "status"],
        ["--port", "70000", "status"],
        ["--token", "ümlaut", "status"],
        ["models", "load"],
        ["models", "load", "m", "--sharding", "diagonal"],
        ["models", "load", "m", "--min-nodes", "0"],
        ["models", "load", "m", "--timeout", "0"],
        ["models", "swap", "only-one"],
        ["models", "swap", ",", "m"],
        ["operations", "cancel"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == "" or not arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json", "models", "load"], "Missing argument 'NAME'."),
        (["models", "load", "--json", "m", "--sharding", "diagonal"], "Invalid value for '--sharding': 'diagonal' is "),
        (["--port", "70000", "status", "--json"], "Invalid value for '--port': "),
        (["--json", "frob"], "No such command 'frob'."),
        (["--json", "serve", "--frob"], "No such option: --frob."),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_an_error_object_with_json(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    error = json.loads(result.stdout)["error"]
    assert error["code"] == "WRONG_USAGE"
    assert error["message"].startswith(message)
    assert error["suggestion"].startswith("Usage: exo-graphql ")
    assert result.stderr.startswith(f"error: {message}")


def test_what_comes_after_two_dashes_is_no_option() -> None:
    result = run("models", "load", "--frob", "--", "--json")
    assert (result.exit_code, result.stdout) == (2, "")


def test_no_server_exits_with_69_and_says_how_to_start_one() -> None:
    ran = command_at("http://127.0.0.1:1")("status")
    assert (ran.code, ran.out) == (69, "")
    assert "No server answers at http://127.0.0.1:1/graphql." in ran.err
    assert "exo-graphql serve" in ran.err


def test_a_server_that_does_not_speak_graphql_exits_with_69(day: Served) -> None:
    ran = command_at(day.url.replace("/graphql", "/nonsense"))("status")
    assert ran.code == 69
    assert "answers, but not as GraphQL (HTTP 404)" in ran.err


@pytest.mark.parametrize("arguments", [["--help"], ["models", "load", "--help"], ["serve", "--help"]], ids=" ".join)
def test_help_teaches(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 0
    for expected in {"--help": ["Examples:", "124 time-out"], "models": ["Example:", "--wait"], "serve": ["--demo"]}[
        arguments[0]
    ]:
        assert expected in result.stdout


def test_the_command_line_does_not_load_the_server_s_libraries() -> None:
    program = "import sys, json, exo_graphql.program; print(json.dumps(sorted(m.split('.')[0] for m in sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=120)
    assert set(json.loads(done.stdout)).isdisjoint(
        {"strawberry", "graphql", "fastapi", "starlette", "pydantic", "uvicorn"}
    )
