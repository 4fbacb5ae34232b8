"""What `--help` prints is all that is written for it: Rich takes brackets in a text for markup."""

import pytest
from typer.testing import CliRunner

from exo_graphql.main import app


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["--help"], ["[default: http://127.0.0.1:52416/graphql]", "[default: 127.0.0.1]", "[default: 52416]"]),
        (["simulate", "--help"], ["KIND[:TARGET][@SECONDS]", "[default: 52415]"]),
        (["serve", "--help"], ["KIND[:TARGET][@SECONDS]", "[EXO_GRAPHQL_PORT]", "[default: 52416]"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and "--help" in value else "",
)
def test_texts_with_brackets_are_shown(arguments: list[str], texts: list[str]) -> None:
    shown = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"}).stdout
    assert [text for text in texts if text not in " ".join(shown.split())] == []
