"""The program's own commands: what `--help` says of the server's settings."""

import pytest
from typer.testing import CliRunner

from exo_graphql.main import app
from exo_graphql.settings import Settings


def help_of(command: str) -> str:
    """Without the white space, which depends on where lines are broken."""
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
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
