"""Which documents are kept: those that are sent again, and those that took a thread."""

import gc
import weakref

from graphql import OperationDefinitionNode

from exo_graphql.engine.compiled.plans import Plans
from exo_graphql.engine.documents import SEEN_TEXTS, Documents
from tests.support.asking import SCHEMA


def test_a_short_text_is_kept_from_its_second_sight_on() -> None:
    documents = Documents(SCHEMA)
    first, second, third = (documents.read("{ nodes { id } }") for _ in range(3))
    assert first is not second
    assert second is third
    invalid, again, kept = (documents.read("{ nodes { height } }") for _ in range(3))
    assert invalid.errors
    assert invalid is not again
    assert again is kept


def test_nothing_is_left_of_texts_that_are_sent_once() -> None:
    """Their trees go at once, without the garbage collector, also once they have been compiled."""
    documents, plans = Documents(SCHEMA), Plans(SCHEMA)
    trees: list[weakref.ref[object]] = []
    gc.disable()
    try:
        for number in range(20):
            node = documents.read(f"{{ nodes {{ name{number}: friendlyName models {{ id }} }} }}").node
            assert node is not None
            assert plans.compile_soon(node, None, None)
            (operation,) = node.definitions
            assert isinstance(operation, OperationDefinitionNode)
            trees += [weakref.ref(each) for each in (node, *operation.selection_set.selections)]
            del node, operation
        assert [tree() for tree in trees] == [None] * 40
    finally:
        gc.enable()


def test_texts_seen_once_are_forgotten_in_their_order() -> None:
    documents = Documents(SCHEMA)
    first, last = "{ nodes { id } }", "{ nodes { friendlyName } }"
    documents.read(first)
    for number in range(SEEN_TEXTS - 1):
        documents._is_seen(str(number))
    documents.read(last)  # one more than are remembered
    once = documents.read(first)
    assert documents.read(first) is not once
    assert documents.read(last) is documents.read(last)
