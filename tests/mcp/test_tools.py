"""What clients are told of the tools, held against what the tools do."""

import json
import re

import pytest
from mcp_types import Tool

from exo_graphql.documents import document, document_names
from exo_graphql.mcp.call import is_read_only
from exo_graphql.mcp.server import definition
from exo_graphql.mcp.tools import TOOLS

pytestmark = pytest.mark.anyio


def _size(tool: Tool) -> int:
    return len(json.dumps(tool.model_dump(mode="json", by_alias=True, exclude_none=True), separators=(",", ":")))


def test_there_are_at_most_twelve_tools_of_3000_tokens_together() -> None:
    assert len(TOOLS) <= 12
    assert sum(_size(definition(tool)) for tool in TOOLS) / 4 <= 3_000


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_tool_is_described_whole(tool: object) -> None:
    made = definition(tool)  # type: ignore[arg-type]
    assert made.title
    assert made.description
    assert made.output_schema is not None
    assert made.output_schema["type"] == "object"
    assert made.input_schema["additionalProperties"] is False
    assert made.annotations is not None
    assert made.annotations.destructive_hint is not made.annotations.read_only_hint


def _is_mutation(name: str) -> bool:
    return re.search(r"^mutation ", document(name).text, re.MULTILINE) is not None


def test_a_tool_that_reads_only_sends_no_mutation_but_a_dry_run() -> None:
    mutations = {name.removeprefix("mcp/") for name in document_names("mcp") if _is_mutation(name)}
    assert mutations == {"apply", "cancel", "plan_deployment", "may_operate"}
    assert "dryRun: true" in document("mcp/plan_deployment").text
    assert 'applyPlan(hash: "")' in document("mcp/may_operate").text
    changing = {tool.name for tool in TOOLS if not definition(tool).annotations.read_only_hint}  # type: ignore[union-attr]
    assert changing == {"apply", "cancel"}
    assert changing | {"plan_deployment"} == {tool.name for tool in TOOLS if tool.operators_only}


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("{ nodes { id } }", True),
        ("query Q { nodes { id } } # mutation", True),
        ('{ searchSchema(query: "mutation { x") { coordinate } }', True),
        ('{ searchSchema(query: """ } mutation { """) { coordinate } }', True),
        ("query mutation { nodes { id } }", False),  # refused although it reads: nobody needs the name
        ("mutation { cancelOperation(id: 1) { error { code } } }", False),
        ("# x\nmutation M { a }", False),
        ("query A { a } mutation B { b }", False),
        ("subscription { nodes { id } }", False),
        ('"\\"" mutation { a }', False),
        ('{ a(b: "\\\\") } mutation { c }', False),
        ("} mutation { a }", False),
        ("{ a } } mutation { c }", False),
        ("\ufeffmutation { c }", False),
        ("{ a(b: {c: 1}) } ,mutation{c}", False),
    ],
)
def test_the_tool_for_graphql_takes_queries_only(text: str, *, reads: bool) -> None:
    assert is_read_only(text) is reads
