"""Which documents are kept: those that are sent again, and those that took a thread."""

import gc
import weakref

import pytest
from graphql import OperationDefinitionNode

from exo_graphql.engine.compiled.plans import Plans
from exo_graphql.engine.documents import PARSED_AT_ONCE, PROVED_AT_ONCE, SEEN_TEXTS, Documents, located
from exo_graphql.engine.worker_pool import WorkerPool
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


def test_what_is_kept_has_the_places_that_errors_name() -> None:
    documents = Documents(SCHEMA)
    unseen, kept = (documents.read("query ($id: ID!) { node(id: $id) { id } }").node for _ in range(2))
    assert unseen is not None
    assert kept is not None
    assert located(unseen) is not unseen
    assert located(kept) is kept
    assert located(unseen).to_dict(locations=True) == kept.to_dict(locations=True)


@pytest.mark.anyio
async def test_a_usual_text_is_read_without_a_thread_and_any_other_of_that_length_on_one() -> None:
    worker_pool = WorkerPool()
    documents = Documents(SCHEMA, worker_pool=worker_pool)
    text = "{ nodes { " + " ".join(f"a{n}: id" for n in range(300)) + " } }"
    assert PARSED_AT_ONCE < len(text) <= PROVED_AT_ONCE
    worker_pool.close()
    assert (await documents.get(text)).errors == ()
    for other in (text, text.replace("{", "{ __typename @deprecated ", 1)):  # seen before; not proved
        with pytest.raises(RuntimeError, match="after shutdown"):
            await documents.get(other)


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
