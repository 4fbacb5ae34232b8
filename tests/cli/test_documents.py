"""The `.graphql` documents: valid against the schema, one operation each, complete with their fragments, all used."""

import ast
from pathlib import Path

import pytest
from graphql import FragmentDefinitionNode, GraphQLSchema, OperationDefinitionNode, build_schema, parse, validate
from typer.testing import CliRunner

from exo_graphql.documents import FOLDER, FRAGMENTS, document, document_names
from exo_graphql.program import app
from exo_graphql.rest.routes import ROUTES

SCHEMA = Path(__file__).parents[2] / "schema.graphql"
COMMAND_LINE = Path(__file__).parents[2] / "exo_graphql" / "cli"
NAMES = document_names()
OF_REST = [f"rest/{route.document}" for route in ROUTES] + [f"rest/{route.check}" for route in ROUTES if route.check]
OF_MCP = document_names("mcp")
FRAGMENT_FILES = sorted(FRAGMENTS.glob("*.graphql"))

# The functions that take the name of a document.
SENDERS = ("document", "ask", "mutate", "mutate_once", "mutate_safely", "_asked", "_Waiting")


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema(SCHEMA.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES + OF_REST + OF_MCP)
def test_a_document_is_valid_against_the_schema(name: str, schema: GraphQLSchema) -> None:
    # Also: it holds every fragment that it uses, and no other.
    assert [error.message for error in validate(schema, parse(document(name).text))] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_document_holds_one_operation_named_as_its_file(name: str) -> None:
    definitions = parse(document(name).text).definitions
    (operation,) = (node for node in definitions if isinstance(node, OperationDefinitionNode))
    assert operation.name is not None
    assert operation.name.value == _camel(name)


@pytest.mark.parametrize("file", FRAGMENT_FILES, ids=lambda file: file.stem)
def test_a_fragment_file_holds_one_fragment_named_as_its_file(file: Path) -> None:
    (fragment,) = parse(file.read_text(encoding="utf-8")).definitions
    assert isinstance(fragment, FragmentDefinitionNode)
    assert fragment.name.value == _camel(file.stem)


@pytest.mark.parametrize("file", [*FOLDER.glob("*.graphql"), *FOLDER.glob("*/*.graphql")], ids=lambda file: file.stem)
def test_a_document_begins_with_a_sentence_that_says_what_it_is_for(file: Path) -> None:
    first = file.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith(".")


def test_a_document_has_the_fragments_of_its_fragments_each_once() -> None:
    text = document("follow_operation").text
    assert [line.split()[1] for line in text.splitlines() if line.startswith("fragment ")] == [
        "OperationDetails",
        "ErrorDetails",
    ]
    assert "fragment" not in document("health").text


def test_every_fragment_is_used() -> None:
    used = {
        definition.name.value
        for name in NAMES + OF_REST + OF_MCP
        for definition in parse(document(name).text).definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    assert used == {_camel(file.stem) for file in FRAGMENT_FILES}


def test_every_document_is_used_and_every_name_used_has_one() -> None:
    used = set[str]()
    for source in COMMAND_LINE.glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _called(node) in SENDERS:
                used |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    assert {name for name in used if not name.startswith("mcp/")} == set(NAMES)
    assert sorted(f"rest/{file.stem}" for file in FOLDER.glob("rest/*.graphql")) == sorted(OF_REST)


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_a_document_is_read_once() -> None:
    assert document("health") is document("health")


def test_the_command_lists_the_documents_and_prints_one_complete() -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["documents"]).stdout.splitlines() == NAMES
    assert runner.invoke(app, ["documents", "load_model"]).stdout == document("load_model").text


def test_the_command_names_the_documents_where_there_is_none_of_that_name() -> None:
    result = CliRunner().invoke(app, ["documents", "../health"])
    assert result.exit_code == 2
    assert "'../health'" in result.stderr
    assert "cancel_task" in result.stderr
