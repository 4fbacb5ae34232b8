"""What is kept as encoded JSON takes the memory of its bytes, not that of the buffer that it was written to."""

import tracemalloc
from collections.abc import Callable

import orjson
import pytest
from graphql import ExecutionResult, GraphQLError

from exo_graphql.engine.compiled.splices import _encoded
from exo_graphql.engine.execution import encode, refusal
from exo_graphql.engine.requests import GraphQLRequest
from exo_graphql.exo.parse.cards import CardTable
from exo_graphql.schema.context import Context
from exo_graphql.schema.volatile import VolatileNumber
from exo_graphql.simulator.cards import card_document, whole_shard
from exo_graphql.simulator.catalogue import all_cards
from tests.engine.test_compiled import DEPLOYMENTS, OPERATIONS

COUNT = 20
PART = {f"field{number}": {"value": number, "text": "x" * 20} for number in range(20)}
CLOCK = {**PART, "ageSeconds": VolatileNumber(1.5)}


def answers() -> list[tuple[bytes, bytes]]:
    context = Context(None, OPERATIONS, DEPLOYMENTS, lambda: 1.0)
    made = [encode(ExecutionResult(CLOCK), context) for _ in range(COUNT)]
    return [(answer.payload, answer.signature) for answer in made]


def refusals() -> list[bytes]:
    return [refusal([GraphQLError("x" * 500)]) for _ in range(COUNT)]


def texts() -> object:
    table = CardTable()
    return table, [table.read(card_document(card)) for card in all_cards()[:COUNT]]


KEPT: dict[str, Callable[[], object]] = {
    "answers and their signatures": answers,
    "refusals": refusals,
    "spliced parts": lambda: [_encoded(CLOCK)[0] for _ in range(COUNT)],
    "keys of requests": lambda: [GraphQLRequest("{ x }", variables={"v": PART}).key for _ in range(COUNT)],
    "texts of cards": texts,
    "shards of the simulated exo": lambda: [whole_shard.__wrapped__(card) for card in all_cards()[:COUNT]],
}


@pytest.mark.parametrize("kept", KEPT)
def test_what_is_kept_is_no_larger_than_it_is_long(kept: str) -> None:
    KEPT[kept]()  # what is made once is not counted
    tracemalloc.start()
    try:
        held = KEPT[kept]()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held
    # Two encodings of `PART` with all that belongs to them. With orjson's buffers it is 16 kB and more.
    assert size < COUNT * 2.5 * len(orjson.dumps(PART))
