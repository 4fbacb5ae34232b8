"""The program's own commands: what `--help` says of the server's settings."""

import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from exo_graphql.engine.rights import Rights
from exo_graphql.main import app
from exo_graphql.settings import REMOVED, REMOVED_SWITCHES, Settings, group_of
from exo_graphql.transports.auth import parse_tokens


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


@pytest.mark.parametrize("command", [("serve", "--demo"), ("simulate",)])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [("explode", "'explode' is not one of load-fails,"), ("load-fails", "load-fails needs a target")],
)
def test_an_invalid_fault_is_wrong_usage(command: tuple[str, ...], fault: str, reason: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "from exo_graphql.main import main; main()", *command, "--port", "0", "--fault", fault],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ran.returncode == 2
    assert reason in ran.stderr
    assert "Traceback" not in ran.stderr


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
    arguments: tuple[str, ...], variables: dict[str, str], reported: str
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "from exo_graphql.main import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
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


def serve(*flags: str, **variables: str) -> str:
    """What `serve` writes when it also has a flag that ends it."""
    ran = subprocess.run(
        (
            *(sys.executable, "-c", "from exo_graphql.main import main; main()"),
            *("serve", "--demo", "--port", "0", *flags, "--fault", "explode"),
        ),
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, **variables},
    )
    assert "'explode' is not one of" in ran.stderr
    return ran.stderr


def test_a_removed_setting_is_accepted_with_a_warning_that_says_what_to_do_instead() -> None:
    shown = serve("--max-rate", "5", EXO_GRAPHQL_MAX_WAITING="7")
    assert "Warning: --max-rate was removed and has no effect: " in shown
    assert "limit_req" in shown
    assert "use max_waiting_cost" in shown


def test_every_removed_setting_is_accepted_as_a_flag() -> None:
    switches = [f"--no-{name}" for name in REMOVED_SWITCHES]
    valued = [name for name in REMOVED if name not in REMOVED_SWITCHES]
    shown = serve(*switches, *(word for name in valued for word in (f"--{name.replace('_', '-')}", "1")))
    warned = re.findall(r"^Warning: --(\S+) was removed and has no effect: .*\.$", shown, re.MULTILINE)
    assert sorted(warned) == sorted(name.replace("_", "-") for name in REMOVED)


def test_every_removed_setting_is_accepted_as_a_variable() -> None:
    shown = serve(**{f"EXO_GRAPHQL_{name.upper()}": "1" for name in REMOVED})
    assert len(re.findall(r"^Warning: ", shown, re.MULTILINE)) == len(REMOVED)


def test_the_shell_completes_the_flags_of_serve() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'exo-graphql'; from exo_graphql.main import main; main()"],
        capture_output=True,
        text=True,
        timeout=30,
        env={
            **os.environ,
            "_EXO_GRAPHQL_COMPLETE": "complete_bash",
            "COMP_WORDS": "exo-graphql serve --max-",
            "COMP_CWORD": "2",
        },
    )
    current = {f"--{name.replace('_', '-')}" for name in Settings.model_fields if name.startswith("max_")}
    assert set(ran.stdout.split()) == current, "and none that was removed"


@pytest.mark.parametrize(
    ("arguments", "rights"),
    [([], Rights.OPERATE), (["--scope", "operate"], Rights.OPERATE), (["--scope", "read"], Rights.READ)],
)
def test_a_new_token_is_one_that_the_server_takes(arguments: list[str], rights: Rights) -> None:
    texts = {CliRunner().invoke(app, ["token", *arguments]).stdout for _ in range(3)}
    assert len(texts) == 3
    for text in texts:
        (token,) = parse_tokens(text)
        assert token.rights is rights
        assert len(text.strip().partition(":")[2]) >= 43, "256 bits"
