"""The `.graphql` documents: true to the schema, each one thing, each used."""

import ast
from pathlib import Path

import pytest
from graphql import GraphQLSchema, OperationDefinitionNode, build_schema, parse, validate

from exo_graphql.documents import FOLDER, document

SCHEMA = Path(__file__).parents[2] / "schema.graphql"
COMMAND_LINE = Path(__file__).parents[2] / "exo_graphql" / "cli"
FILES = sorted(FOLDER.glob("*.graphql"))


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema(SCHEMA.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_document_is_valid_against_the_schema(file: Path, schema: GraphQLSchema) -> None:
    assert [error.message for error in validate(schema, parse(file.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_document_holds_one_operation_named_as_its_file(file: Path) -> None:
    definitions = parse(file.read_text(encoding="utf-8")).definitions
    (operation,) = (node for node in definitions if isinstance(node, OperationDefinitionNode))
    assert operation.name is not None
    assert operation.name.value == "".join(word.capitalize() for word in file.stem.split("_"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_document_begins_with_a_sentence_that_says_what_it_is_for(file: Path) -> None:
    first = file.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith(".")


def test_every_document_is_used_and_every_name_used_has_one() -> None:
    used = set[str]()
    for source in COMMAND_LINE.glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _called(node) in ("document", "ask", "act", "wish", "_asked", "_Waiting"):
                used |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    assert used == {file.stem for file in FILES}


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_a_document_is_read_once() -> None:
    assert document("health") is document("health")
