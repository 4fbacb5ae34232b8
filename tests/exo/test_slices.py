"""Slices of a JSON text: what is accepted, at every depth, is what orjson accepts of the whole."""

import sys
from collections.abc import Iterator

import orjson
import pytest

from exo_graphql.cluster.state import RunnerStatus
from exo_graphql.exo.parse import NotAState, StateReader
from exo_graphql.exo.parse.slices import NotSliceable, members
from tests.support.successions import ODD_KEYS, ODD_VALUES

# Where a value may lie, by how it is read: an unknown part, a map, an entry of one, a list in one, an entry of that.
PLACES = (
    b'{"new":%s,"topology":{"nodes":["n1"],"connections":{}}}',
    b'{"instances":%s}',
    b'{"topology":%s}',
    b'{"topology":{"new":%s}}',
    b'{"topology":{"nodes":%s}}',
    b'{"topology":{"connections":{"n1":%s}}}',
    b'{"runners":{"r1":%s}}',
    b'{"runners":{},"tasks":{"t1":{"LoadModel":%s}}}',
    b'{"nodeMemory":{"n1":%s},"topology":{"nodes":["n1"]}}',
    b'{"downloads":%s}',
    b'{"downloads":{"n1":%s}}',
    b'{"downloads":{"n1":[%s,{}]}}',
    b'{"lastEventAppliedIdx":%s,"runners":{}}',
)


def accepted(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def read(reader: StateReader, body: bytes) -> bool:
    try:
        reader.parse(body)
    except NotAState:
        return False
    return True


@pytest.mark.parametrize("place", PLACES)
def test_a_value_is_accepted_where_orjson_accepts_it(place: bytes) -> None:
    reader = StateReader()
    for value in ODD_VALUES:
        body = place % value
        assert read(StateReader(), body) is accepted(body), value
        # After a state in which it was another.
        assert read(reader, place % b"{}")
        assert read(reader, body) is accepted(body), value


@pytest.fixture
def _deep_recursion() -> Iterator[None]:
    """Lets msgspec go as deep as it does from Python 3.12 on; before, it stops at Python's limit of 1,000 by itself."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(5000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("_deep_recursion")
@pytest.mark.parametrize("place", PLACES)
def test_levels_are_counted_from_the_beginning_of_the_document(place: bytes) -> None:
    seen = set()
    for depth in range(1015, 1030):
        for value in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
            body = place % value
            assert read(StateReader(), body) is accepted(body), depth
            seen.add(accepted(body))
    assert seen == {True, False}


@pytest.mark.parametrize("place", PLACES)
def test_a_key_is_accepted_where_orjson_accepts_it(place: bytes) -> None:
    for key in ODD_KEYS:
        for value in (b"{%s:1}", b'{%s:"\xff",%s:1}'):
            body = place % value.replace(b"%s", key)
            assert read(StateReader(), body) is accepted(body), body


@pytest.mark.parametrize(
    "text",
    [b'{"a":1}', b'{"a":[1, 2],"b":{ }}', b"{}", '{"é":1,"😀":2}'.encode(), b'{"":1}'],
)
def test_an_object_is_sliced(text: bytes) -> None:
    assert {key: orjson.loads(bytes(value)) for key, value in members(text).items()} == orjson.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":1}',
        b'{"a":1, "b":1}',
        b' {"a":1}',
        b'{"\\u0061":1}',
        # As long as it would be without the second key and the blanks.
        b'{"a":1,"a":1,"\\u0062":1}',
        b"[1]",
        b"1",
        b"",
        b'{"a":1',
    ],
)
def test_what_is_not_sliced(text: bytes) -> None:
    with pytest.raises(NotSliceable):
        members(text)


def test_what_is_kept_of_a_body_does_not_keep_all_of_it_in_memory() -> None:
    reader = StateReader()
    body = orjson.dumps(
        {
            "topology": {"nodes": ["n1"], "connections": {"n1": {}}},
            "instances": {"i1": {}},
            "downloads": {"n1": [{}, {}]},
            "tasks": {"t1": {}},
            "nodeMemory": {"n1": {}},
            "new": {"x": [1, 2]},
            "lastEventAppliedIdx": 3,
        }
    )
    before = sys.getrefcount(body)
    reader.parse(body)
    assert sys.getrefcount(body) == before


def test_a_key_with_escapes_makes_only_its_own_map_be_read_whole() -> None:
    reader = StateReader()
    body = b'{"runners":{"r\\"1":{"RunnerReady":{}},"r2":{"RunnerIdle":{}}},"tasks":{"t1":{"LoadModel":{}}},"x":%d}'
    first, second = reader.parse(body % 1), reader.parse(body % 2)
    assert list(first.runners) == ['r"1', "r2"]
    assert second is first
    third = reader.parse((body % 3).replace(b"Idle", b"Ready"))
    assert third.runners["r2"].status is RunnerStatus.READY
    assert third.tasks is first.tasks
