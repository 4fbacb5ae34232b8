"""The examples in the engine's docstrings, held against the code."""

from textwrap import indent
from typing import Any

import pytest
from graphql import OperationDefinitionNode, parse

from exo_graphql.engine import complexity, cost
from exo_graphql.engine.compiled import object_compiler
from exo_graphql.engine.compiled.compiler import Compilation, Fields
from exo_graphql.engine.complexity import check_document
from exo_graphql.engine.costs import Costs
from exo_graphql.engine.limits import LimitExceeded, Limits
from exo_graphql.engine.list_sizes import ListSizes
from tests.support.asking import SCHEMA


def _operation(text: str) -> OperationDefinitionNode:
    operation = parse(text).definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    return operation


def test_the_generated_function_is_the_one_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    original = object_compiler._compiled

    def noting(source: str) -> Any:
        compiled.append(indent(source, "    "))
        return original(source)

    monkeypatch.setattr(object_compiler, "_compiled", noting)
    monkeypatch.setattr(object_compiler, "_functions", {})
    Compilation(Fields(SCHEMA), _operation("{ models { nodes { name: friendlyName status } } }"), {}, None)
    assert compiled[0] in (object_compiler.__doc__ or "")


@pytest.mark.parametrize(("limit", "count"), [("max_fields", 6), ("max_depth", 3), ("max_pairs", 2)])
def test_the_counts_of_the_query_that_is_shown(limit: str, count: int) -> None:
    query = "{ nodes { id id } nodes { ...Name ...Name } }  fragment Name on Node { friendlyName }"
    assert query in (complexity.__doc__ or "")
    check_document(parse(query), Limits(**{limit: count}))
    with pytest.raises(LimitExceeded) as refused:
        check_document(parse(query), Limits(**{limit: count - 1}))
    assert (refused.value.extensions or {})["limit"] == limit


def test_the_cost_of_the_query_that_is_shown() -> None:
    query = "{ nodes { friendlyName models { id } } }"
    assert query in (cost.__doc__ or "")
    sizes = ListSizes(None, tuple)
    sizes.__dict__ |= {"nodes": 4, "models_on_node": 3}
    assert Costs(SCHEMA).of(parse(query), _operation(query), sizes).total == 21
