"""What a snapshot takes over from the one before equals what it would compute itself."""

import orjson
import pytest

from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.indexed_state import COMPUTED_FROM, IndexedState
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.topology import Topology
from exo_graphql.exo.parse import NotAState, StateReader
from tests.support.documents import MODEL, document, instance, ongoing, pending, runner, task
from tests.support.recordings import EXO, NAMES, moment, steps
from tests.support.successions import succession


def comparable(index: object) -> object:
    """An index as a value that also shows its order."""
    if isinstance(index, Topology):
        return (index.ids, index.sockets, index.rdma, index.leaves)
    return list(index.items()) if isinstance(index, dict) else index


def carried_indexes(bodies: list[bytes]) -> int:
    """Asserts that each carried index is right; returns how many there were. Every index is used in every snapshot."""
    reader = StateReader()
    snapshot: Snapshot | None = None
    carried = 0
    for t, body in enumerate(bodies):
        try:
            state = reader.parse(body)
        except NotAState:
            continue
        snapshot, _ = advance(snapshot, state, moment(t), EXO)
        for name in COMPUTED_FROM:
            index = snapshot.__dict__.get(name)
            if index is not None:
                carried += 1
                computed = IndexedState.__dict__[name].func(snapshot)
                assert comparable(index) == comparable(computed), (t, name)
        for name in COMPUTED_FROM:
            getattr(snapshot, name)
    return carried


@pytest.mark.parametrize("name", NAMES)
def test_what_recorded_states_carry_over_is_right(name: str) -> None:
    bodies = [orjson.dumps(step.document) for step in steps(name)]
    assert carried_indexes([*bodies, *bodies[::-1]]) > len(bodies)


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_what_any_states_carry_over_is_right(first: int) -> None:
    assert sum(carried_indexes(succession(seed)) for seed in range(first, first + 50)) > 200


def test_telemetry_leaves_every_index_as_it_was() -> None:
    def state(free: int) -> bytes:
        moved = document(
            ["n1", "n2"],
            [instance("i1", {"n1": "r1"})],
            {"r1": runner("Loading")},
            {"n1": [ongoing(MODEL, 1, 9)], "n2": [pending("test/two")]},
            {"t1": task("LoadModel", "i1")},
            index=free,
        )
        moved["nodeMemory"]["n1"]["ramAvailable"] = {"inBytes": free}
        return orjson.dumps(moved)

    reader = StateReader()
    first, _ = advance(None, reader.parse(state(5)), moment(0), EXO, catalogue={})
    used = {name: getattr(first, name) for name in COMPUTED_FROM}
    second, _ = advance(first, reader.parse(state(6)), moment(1), EXO)
    assert second.nodes[0].ram_available_bytes == 6
    assert {name for name, index in used.items() if second.__dict__.get(name) is not index} == set()
