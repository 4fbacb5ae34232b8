"""The program's own commands: what `--help` says of the server's settings."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from exo_graphql.main import app
from exo_graphql.settings import Settings


def help_of(command: str) -> str:
    """Without the white space, which depends on where lines are broken.

    TERMINAL_WIDTH is not set: Typer reads it once, and keeps it for the help texts of every later test.
    """
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    return "".join(result.output.split())


@pytest.mark.parametrize("name", Settings.model_fields)
def test_help_tells_flag_variable_description_and_default_of_every_setting(name: str) -> None:
    told, field = help_of("serve"), Settings.model_fields[name]
    assert f"--{name.replace('_', '-')}" in told
    has_default = isinstance(field.default, bool | int | float | str) and field.default != ""
    default = f"[default: {field.default}]" if has_default else ""
    said = f"{field.description} [EXO_GRAPHQL_{name.upper()}] {default}"
    assert "".join(said.split()) in told


def test_both_commands_that_take_faults_tell_how_to_spell_them() -> None:
    assert "KIND[:TARGET][@SECONDS]" in help_of("serve")
    assert "KIND[:TARGET][@SECONDS]" in help_of("simulate")


@pytest.mark.parametrize("command", [("serve", "--demo"), ("simulate",)])
@pytest.mark.parametrize(
    ("fault", "told"), [("explode", "'explode' is not one of load-fails,"), ("load-fails", "load-fails needs a target")]
)
def test_a_fault_that_cannot_be_meant_is_wrong_usage(command: tuple[str, ...], fault: str, told: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "from exo_graphql.main import main; main()", *command, "--port", "0", "--fault", fault],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ran.returncode == 2
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_setting_that_is_no_more_is_accepted_with_a_word_on_what_to_do_instead() -> None:
    ran = subprocess.run(
        (
            *(sys.executable, "-c", "from exo_graphql.main import main; main()"),
            *("serve", "--demo", "--port", "0", "--max-rate", "5", "--fault", "explode"),
        ),
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "EXO_GRAPHQL_MAX_WAITING": "7"},
    )
    assert "'explode' is not one of" in ran.stderr
    assert "Warning: --max-rate is no more and does nothing: " in ran.stderr
    assert "limit_req" in ran.stderr
    assert "use max_waiting_cost" in ran.stderr
