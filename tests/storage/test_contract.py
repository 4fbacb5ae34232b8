"""What every `Store` promises. An implementation joins by one line in `STORES`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from exo_graphql import clock
from exo_graphql.storage import Collection, Entry, Key, Store, StoreError
from exo_graphql.storage.postgres import PostgresStore
from exo_graphql.storage.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

STORES = {
    "sqlite": lambda request: _sqlite(request.getfixturevalue("tmp_path")),
    "postgres": lambda request: _postgres(request.getfixturevalue("database")),
}
"""By name: what makes a store, not yet open, that finds again what the one before it has written."""


def _sqlite(directory: Path) -> Callable[[], Store]:
    return lambda: SQLiteStore(directory / "made" / "on the way" / "store.db")


def _postgres(url: str) -> Callable[[], Store]:
    return lambda: PostgresStore(url, elapsed=clock.elapsed)


OPERATIONS = Collection.OPERATIONS
FIRST = Entry(1, "first", active=True, record=b'{"is": "opaque"}')
SECOND = Entry(2, "second", active=False, record=b"\x00\xff no JSON")
KEY = Key("nightly", "fingerprint", "first", 1750593600.25)


@pytest.fixture
def anyio_backend() -> str:
    """Not virtual time, as for the other tests of this directory: PostgreSQL is another process."""
    return "asyncio"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def make(request: pytest.FixtureRequest) -> Callable[[], Store]:
    """Another server's store of the same data, each time that it is called."""
    return STORES[request.param](request)


@asynccontextmanager
async def _opened(make: Callable[[], Store]) -> AsyncIterator[Store]:
    store = make()
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def test_a_new_store_is_empty(make: Callable[[], Store]) -> None:
    async with _opened(make) as store:
        assert await store.entries(OPERATIONS) == []
        assert await store.keys() == []


async def test_every_collection_is_kept_apart(make: Callable[[], Store]) -> None:
    async with _opened(make) as store:
        for collection in Collection:
            await store.save(collection, replace(FIRST, record=collection.value.encode()))
        for collection in Collection:
            assert [entry.record for entry in await store.entries(collection)] == [collection.value.encode()]


async def test_what_was_written_is_there_after_a_restart(make: Callable[[], Store]) -> None:
    async with _opened(make) as store:
        await store.admit(OPERATIONS, FIRST, KEY)
        await store.save(OPERATIONS, SECOND)
        assert await store.entries(OPERATIONS) == [FIRST, SECOND]
    async with _opened(make) as store:
        assert await store.entries(OPERATIONS) == [FIRST, SECOND]
        assert await store.keys() == [KEY]


async def test_entries_come_in_the_order_of_their_sequence(make: Callable[[], Store]) -> None:
    async with _opened(make) as store:
        await store.save(OPERATIONS, SECOND)
        await store.save(OPERATIONS, FIRST)
        assert [entry.sequence for entry in await store.entries(OPERATIONS)] == [1, 2]


async def test_an_entry_is_replaced_by_its_id_and_keeps_its_sequence(make: Callable[[], Store]) -> None:
    async with _opened(make) as store:
        await store.admit(OPERATIONS, FIRST)
        await store.save(OPERATIONS, Entry(9, "first", active=False, record=b"ended"))
        assert await store.entries(OPERATIONS) == [replace(FIRST, active=False, record=b"ended")]


async def test_an_entry_that_cannot_be_written_leaves_no_key(make: Callable[[], Store]) -> None:
    async with _opened(make) as store:
        await store.admit(OPERATIONS, FIRST)
        taken = Entry(1, "another id", active=True, record=b"")
        with pytest.raises(StoreError):
            await store.admit(OPERATIONS, taken, KEY)
        assert await store.entries(OPERATIONS) == [FIRST]
        assert await store.keys() == []
        await store.admit(OPERATIONS, SECOND, KEY)
        assert await store.keys() == [KEY]


async def test_a_key_is_replaced_by_its_name(make: Callable[[], Store]) -> None:
    async with _opened(make) as store:
        await store.add_key(KEY)
        later = replace(KEY, operation_id="second", created_at=KEY.created_at + 86_400)
        await store.add_key(later)
        assert await store.keys() == [later]


async def test_what_is_forgotten_is_gone_and_the_rest_is_not(make: Callable[[], Store]) -> None:
    other = replace(KEY, key="other")
    async with _opened(make) as store:
        await store.admit(OPERATIONS, FIRST, KEY)
        await store.admit(OPERATIONS, SECOND, other)
        await store.forget(OPERATIONS, ["first", "never there"], ["nightly", "never there"])
        assert await store.entries(OPERATIONS) == [SECOND]
        assert await store.keys() == [other]


async def test_open_and_close_may_be_called_twice(make: Callable[[], Store]) -> None:
    store = make()
    await store.open()
    await store.save(OPERATIONS, FIRST)
    await store.open()
    assert await store.entries(OPERATIONS) == [FIRST]
    await store.close()
    await store.close()
    await make().close()


async def test_a_store_that_is_not_open_refuses(make: Callable[[], Store]) -> None:
    store = make()
    with pytest.raises(StoreError, match="not open"):
        await store.save(OPERATIONS, FIRST)
    await store.close()


async def test_the_newest_entries_come_page_by_page(make: Callable[[], Store]) -> None:
    entries = [Entry(number, f"e{number}", active=False, record=b"{}") for number in range(1, 8)]
    async with _opened(make) as store:
        await store.append(Collection.EVENTS, entries)
        first = await store.newest(Collection.EVENTS, 3)
        assert [entry.sequence for entry in first] == [7, 6, 5]
        assert await store.newest(Collection.EVENTS, 10, before=5) == entries[3::-1]
        assert await store.newest(Collection.OPERATIONS, 3) == []
        await store.forget_until(Collection.EVENTS, 6)
    async with _opened(make) as store:
        assert await store.entries(Collection.EVENTS) == entries[-1:]


async def test_entries_are_appended_together_or_not_at_all(make: Callable[[], Store]) -> None:
    async with _opened(make) as store:
        await store.append(Collection.EVENTS, [Entry(1, "e1", active=False, record=b"{}")])
        with pytest.raises(StoreError):
            await store.append(Collection.EVENTS, [Entry(n, "e1" if n == 3 else f"e{n}", False, b"") for n in (2, 3)])
        assert [entry.id for entry in await store.entries(Collection.EVENTS)] == ["e1"]


async def test_entries_that_are_there_already_may_be_appended_again(make: Callable[[], Store]) -> None:
    """A call that failed for its caller may have written them."""
    entries = [Entry(number, f"e{number}", active=False, record=b"{}") for number in (1, 2, 3)]
    async with _opened(make) as store:
        await store.append(Collection.EVENTS, entries[:2])
        await store.append(Collection.EVENTS, entries)
        assert await store.entries(Collection.EVENTS) == entries


async def test_entries_are_found_by_their_ids(make: Callable[[], Store]) -> None:
    async with _opened(make) as store:
        await store.append(OPERATIONS, [SECOND, FIRST])
        assert await store.some(OPERATIONS, ["second", "first", "never there"]) == [FIRST, SECOND]
        assert await store.some(OPERATIONS, ["second"]) == [SECOND]
        assert await store.some(OPERATIONS, []) == []
        assert await store.some(Collection.EVENTS, ["first"]) == []


async def test_the_only_server_leads_from_the_start_and_is_all_there_is(make: Callable[[], Store]) -> None:
    async with _opened(make) as store:
        leadership = store.leadership
        assert leadership.leads
        assert leadership.seconds_left > 0
        assert leadership.own.leads
        assert leadership.leader == leadership.own
        assert leadership.replicas == (leadership.own,)


async def test_what_a_server_writes_itself_is_not_reported_to_it(make: Callable[[], Store]) -> None:
    async with _opened(make) as store:
        heard: list[object] = []
        stop = store.on_change(lambda *change: heard.append(change))
        await store.admit(OPERATIONS, FIRST, KEY)
        await store.append(Collection.EVENTS, [SECOND])
        await store.forget(OPERATIONS, ["first"])
        assert await store.entries(OPERATIONS) == []
        stop()
        assert heard == []
