"""The program's own commands: what `--help` says of the server's settings."""

import gc
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exo_graphql import left_out, main
from exo_graphql.cli import interrupts, streams
from exo_graphql.engine.rights import Caller, Rights
from exo_graphql.program import app
from exo_graphql.removed_settings import REMOVED, REMOVED_SWITCHES
from exo_graphql.settings import Settings, group_of
from exo_graphql.transports.auth import parse_tokens


@cache
def help_of(command: str) -> str:
    """Without the white space, which depends on where lines are broken.

    TERMINAL_WIDTH is not set: Typer reads it once, and keeps it for the help texts of every later test.
    """
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    return "".join(result.output.split())


@pytest.mark.parametrize("name", Settings.model_fields)
def test_help_shows_flag_variable_description_and_default_of_every_setting(name: str) -> None:
    shown, field = help_of("serve"), Settings.model_fields[name]
    assert f"--{name.replace('_', '-')}" in shown
    has_default = isinstance(field.default, bool | int | float | str) and field.default != ""
    default = f"[default: {field.default}]" if has_default else ""
    said = f"{field.description} [EXO_GRAPHQL_{name.upper()}] {default}"
    assert "".join(said.split()) in shown


def test_both_commands_that_take_faults_show_their_syntax() -> None:
    assert "KIND[:TARGET][@SECONDS]" in help_of("serve")
    assert "KIND[:TARGET][@SECONDS]" in help_of("simulate")


# One process runs all of them: each start of a server that is not to be takes a second.
EVERY_START = """
import json, os, sys
from exo_graphql.program import app
for arguments, variables in json.load(sys.stdin):
    os.environ.update(variables)
    try:
        app(arguments)
    except SystemExit as end:
        print(end.code, file=sys.stderr, end=chr(12))
    for name in variables:
        del os.environ[name]
"""


def test_settings_that_cannot_be_served_are_wrong_usage_under_the_name_they_were_given_by(
    forking_python: Sequence[str], tmp_path: Path
) -> None:
    absent, file = tmp_path / "absent", tmp_path / "file"
    file.write_text("")
    file.chmod(0o600)
    kinds = (
        "is not one of load-fails, download-fails, node-dies, master-dies, master-hangs, replays, hang, error, garbage."
    )
    both = "--demo replaces an exo cluster, and --exo-url names one. Give one of the two."
    cases: list[tuple[list[str], dict[str, str], int, str]] = [
        (["--demo", "--fault", "explode"], {}, 2, f"--fault: 'explode' {kinds}"),
        (["--demo", "--fault", "load-fails"], {}, 2, "--fault: load-fails needs a target"),
        (["--demo", "--fault", "node-dies:nobody"], {}, 2, "--fault: no node is named 'nobody'; there are Mac"),
        (["--demo", "--fault", "load-fails:nothing"], {}, 2, "--fault: "),
        (["--demo", "--fault", "replays@5"], {}, 2, "--fault: replays needs a duration: replays@SECONDS+DURATION."),
        (["--demo"], {"EXO_GRAPHQL_FAULT": "explode"}, 2, f"EXO_GRAPHQL_FAULT: 'explode' {kinds}"),
        (["--fault", "hang"], {}, 2, "--fault: faults are for the demo alone. Give --demo as well."),
        (["--demo", "--exo-url", "http://mini"], {}, 2, f"--demo: {both}"),
        (["--exo-url", "http://mini"], {"EXO_GRAPHQL_DEMO": "1"}, 2, f"EXO_GRAPHQL_DEMO: {both}"),
        (["--tokens-file", str(absent)], {}, 2, f"--tokens-file: {absent} cannot be read: No such file or directory."),
        (["--tokens-file", str(file)], {}, 2, "--tokens-file: neither --tokens nor --tokens-file holds any token."),
        (["--tokens", "operate:short"], {}, 2, "--tokens: "),
        ([], {"EXO_GRAPHQL_TOKENS": "operate:short"}, 2, "EXO_GRAPHQL_TOKENS: "),
        (["--host", "0.0.0.0"], {}, 2, "--host: 0.0.0.0 is reachable from other machines, and no token"),
        (["--deployments", str(absent)], {}, 2, f"--deployments: {absent}"),
        (["--exo-url", "https://mini", "--ca-file", str(file)], {}, 2, f"--ca-file: {file} contains no certificate"),
        (["--exo-url", "https://mini"], {"SSL_CERT_FILE": str(absent)}, 2, f"SSL_CERT_FILE: {absent} cannot be read"),
        (["--state-dir", str(file / "below")], {}, 1, f"--state-dir: {file}"),
        ([], {"EXO_GRAPHQL_STATE_DIR": str(file / "below")}, 1, f"EXO_GRAPHQL_STATE_DIR: {file}"),
    ]
    starts = [(["serve", "--port", "0", *arguments], variables) for arguments, variables, _, _ in cases]
    cases += [
        (["--fault", "explode"], {}, 2, f"--fault: 'explode' {kinds}"),
        (["--fault", "load-fails"], {}, 2, "--fault: load-fails needs a target"),
    ]
    starts += [(["simulate", "--port", "0", *arguments], {}) for arguments, _, _, _ in cases[-2:]]
    ran = subprocess.run(
        [*forking_python, "-c", EVERY_START],
        input=json.dumps(starts),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    *said, rest = ran.stderr.split("\f")
    assert rest == ""
    for text, (arguments, _, code, reported) in zip(said, cases, strict=True):
        assert text.startswith(f"error: {reported}"), (arguments, text)
        line, status = text.splitlines()
        assert status == str(code), line


@pytest.mark.parametrize(
    ("arguments", "variables", "reported"),
    [
        (("serve", "--port", "70000"), {}, "error: Invalid value for --port: "),
        (("serve",), {"EXO_GRAPHQL_PORT": "70000"}, "error: Invalid value for EXO_GRAPHQL_PORT: "),
        (("simulate", "--port", "70000"), {}, "error: Invalid value for '--port': "),
        (("simulate", "--speed", "0"), {}, "error: Invalid value for '--speed': "),
    ],
)
def test_a_value_out_of_range_is_wrong_usage_that_names_where_it_came_from(
    forking_python: Sequence[str], arguments: tuple[str, ...], variables: dict[str, str], reported: str
) -> None:
    ran = subprocess.run(
        [*forking_python, "-c", "from exo_graphql.main import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **variables},
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith(reported)


def test_help_lists_the_settings_in_groups() -> None:
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "80"}).output
    headings = [line.removesuffix(":") for line in shown.splitlines() if re.fullmatch(r"\w+:", line)]
    assert headings == [*dict.fromkeys(group_of(field) for field in Settings.model_fields.values()), "Options"]
    texts = dict(zip(headings, re.split(r"^\w+:$", shown, flags=re.MULTILINE)[1:], strict=True))
    for name, field in Settings.model_fields.items():
        assert f"  --{name.replace('_', '-')} " in texts[group_of(field)]
    assert "--help" in texts["Options"]


@pytest.mark.parametrize("imported", ["exo_graphql.program", "exo_graphql.serve_command"])
def test_ctrl_c_while_the_program_is_imported_ends_it_silently(monkeypatch: pytest.MonkeyPatch, imported: str) -> None:
    class Interrupted:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == imported:
                raise KeyboardInterrupt

    handled = []
    for module, name in (
        (streams, "prepare"),
        (interrupts, "install"),
        (interrupts, "finish"),
        (left_out, "leave_out"),
    ):
        monkeypatch.setattr(module, name, lambda: None)
    monkeypatch.setattr(signal, "signal", lambda *given: handled.append(given))
    monkeypatch.setattr(sys, "argv", ["exo-graphql", "serve" if "serve" in imported else "status"])
    monkeypatch.delitem(sys.modules, imported)
    monkeypatch.setattr(sys, "meta_path", [Interrupted, *sys.meta_path])
    enabled = gc.isenabled()
    try:
        with pytest.raises(SystemExit) as ended:
            main.main()
    finally:
        if enabled:
            gc.enable()
    assert ended.value.code == 130
    assert handled == [(signal.SIGINT, signal.SIG_IGN)], "a second one while it ends is silent, too"


Serve = Callable[..., str]


@pytest.fixture
def serve(forking_python: Sequence[str]) -> Serve:
    """What `serve` writes when it also has a flag that ends it."""
    program = *forking_python, "-c", "from exo_graphql.main import main; main()"

    def run(*flags: str, **variables: str) -> str:
        ran = subprocess.run(
            [*program, "serve", *flags, "--port", "70000"],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **variables},
        )
        assert "Invalid value for --port" in ran.stderr
        return ran.stderr

    return run


def test_a_removed_setting_is_accepted_with_a_warning_that_says_what_to_do_instead(serve: Serve) -> None:
    shown = serve("--max-rate", "5", EXO_GRAPHQL_MAX_WAITING="7")
    assert "Warning: --max-rate was removed and has no effect: " in shown
    assert "limit_req" in shown
    assert "use max_waiting_cost" in shown


def test_every_removed_setting_is_accepted_as_a_flag(serve: Serve) -> None:
    switches = [f"--no-{name}" for name in REMOVED_SWITCHES]
    valued = [name for name in REMOVED if name not in REMOVED_SWITCHES]
    shown = serve(*switches, *(word for name in valued for word in (f"--{name.replace('_', '-')}", "1")))
    warned = re.findall(r"^Warning: --(\S+) was removed and has no effect: .*\.$", shown, re.MULTILINE)
    assert sorted(warned) == sorted(name.replace("_", "-") for name in REMOVED)


def test_every_removed_setting_is_accepted_as_a_variable(serve: Serve) -> None:
    shown = serve(**{f"EXO_GRAPHQL_{name.upper()}": "1" for name in REMOVED})
    assert len(re.findall(r"^Warning: ", shown, re.MULTILINE)) == len(REMOVED)


def test_the_shell_completes_the_flags_of_serve(forking_python: Sequence[str]) -> None:
    ran = subprocess.run(
        [*forking_python, "-c", "import sys; sys.argv[0] = 'exo-graphql'; from exo_graphql.main import main; main()"],
        capture_output=True,
        text=True,
        timeout=120,
        env={
            **os.environ,
            "_EXO_GRAPHQL_COMPLETE": "complete_bash",
            "COMP_WORDS": "exo-graphql serve --max-",
            "COMP_CWORD": "2",
        },
    )
    current = {f"--{name.replace('_', '-')}" for name in Settings.model_fields if name.startswith("max_")}
    assert set(ran.stdout.split()) == current, "and none that was removed"


def test_a_new_token_has_the_name_of_its_owner() -> None:
    (token,) = parse_tokens(CliRunner().invoke(app, ["token", "--name", "alice", "--scope", "read"]).stdout)
    assert token.caller == Caller(Rights.READ, "alice")
    refused = CliRunner().invoke(app, ["token", "--name", "al=ice"])
    assert refused.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "rights"),
    [([], Rights.OPERATE), (["--scope", "operate"], Rights.OPERATE), (["--scope", "read"], Rights.READ)],
)
def test_a_new_token_is_one_that_the_server_takes(arguments: list[str], rights: Rights) -> None:
    texts = {CliRunner().invoke(app, ["token", *arguments]).stdout for _ in range(3)}
    assert len(texts) == 3
    for text in texts:
        (token,) = parse_tokens(text)
        assert token.caller.rights is rights
        assert len(text.strip().partition(":")[2]) >= 43, "256 bits"
