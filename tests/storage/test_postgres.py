"""The store in PostgreSQL: one server writes, what breaks is bounded in time, and nothing late is written."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import psycopg
import pytest

from exo_graphql import clock
from exo_graphql.storage import Collection, Entry, Key, NotLeader, StoreError
from exo_graphql.storage import postgres as postgres_module
from exo_graphql.storage.lease import LeaseRules
from exo_graphql.storage.postgres import PostgresStore
from tests.support.postgres import PostgresServer
from tests.support.running import until
from tests.support.severed import Severed

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

OPERATIONS = Collection.OPERATIONS
ENTRY = Entry(1, "operation-1", active=True, record=b'{"is": "opaque"}')
KEY = Key("k", "print", "operation-1", 1.5)
QUICK = LeaseRules(duration=0.6, renew_every=0.2)


@pytest.fixture
def anyio_backend() -> str:
    """Not virtual time, as for the other tests of this directory: PostgreSQL is another process."""
    return "asyncio"


@pytest.fixture
async def make(database: str) -> AsyncIterator[Callable[..., PostgresStore]]:
    """Makes a store of the test's database, not yet open; all are closed after the test."""
    async with AsyncExitStack() as stores:

        def made(url: str = database, namespace: str = "default", name: str = "one") -> PostgresStore:
            store = PostgresStore(url, namespace, elapsed=clock.elapsed, name=name, rules=QUICK)
            stores.push_async_callback(store.close)
            return store

        yield made


async def _stopped(store: PostgresStore) -> None:
    """As if its process had been stopped: it renews nothing, and gives nothing up."""
    assert store._renewing is not None
    store._renewing.cancel()
    await asyncio.wait([store._renewing])


async def test_a_second_server_is_refused_with_the_name_of_the_first(make: Callable[..., PostgresStore]) -> None:
    first, second = make(), make(name="two")
    await first.open()
    with pytest.raises(NotLeader, match="one"):
        await second.open()
    assert first.is_writer
    assert not second.is_writer
    await first.admit(OPERATIONS, ENTRY, KEY)


async def test_a_server_that_ends_leaves_the_lease_at_once_and_one_that_is_killed_when_it_ends(
    make: Callable[..., PostgresStore],
) -> None:
    first, second, third = make(), make(name="two"), make(name="three")
    await first.open()
    await first.save(OPERATIONS, ENTRY)
    await first.close()
    begun = time.monotonic()
    await second.open()
    assert time.monotonic() - begun < QUICK.duration
    await _stopped(second)
    await third.open()
    assert await third.entries(OPERATIONS) == [ENTRY]


async def test_what_a_server_sends_after_another_has_taken_over_is_refused(make: Callable[..., PostgresStore]) -> None:
    first, second = make(), make(name="two")
    await first.open()
    await _stopped(first)
    await second.open()
    await second.save(OPERATIONS, ENTRY)
    later = Entry(1, ENTRY.id, active=False, record=b"late")
    with pytest.raises(NotLeader):
        await first.save(OPERATIONS, later)
    with pytest.raises(NotLeader):
        await first.admit(OPERATIONS, Entry(2, "operation-2", active=True, record=b"late"), KEY)
    with pytest.raises(NotLeader):
        await first.forget(OPERATIONS, [ENTRY.id])
    assert await second.entries(OPERATIONS) == [ENTRY]
    assert await second.keys() == []


async def test_a_server_that_stops_in_the_midst_of_a_write_does_not_keep_others_from_taking_over(
    make: Callable[..., PostgresStore], database: str
) -> None:
    async with Severed.between(database) as network:
        first, second = make(network.url), make(name="two")
        await first.open()
        network.hold(before=b"COMMIT", let_through=False)
        saving = asyncio.create_task(first.save(OPERATIONS, ENTRY))
        await asyncio.wait([saving], timeout=QUICK.renew_every)
        await _stopped(first)
        await second.open()
        assert await second.entries(OPERATIONS) == []
        network.release()
        with pytest.raises(StoreError):
            await saving
        assert await second.entries(OPERATIONS) == []


async def test_a_server_learns_that_it_was_replaced(make: Callable[..., PostgresStore], database: str) -> None:
    """It was cut off from the database, not from exo, and is asked to end as soon as it is back."""
    async with Severed.between(database) as network:
        first, second = make(network.url), make(name="two")
        await first.open()
        ended = asyncio.Event()
        first.when_taken_over(ended.set)
        network.hold(before=b"INSERT INTO exo_graphql_leases", let_through=False)
        await second.open()
        assert not first.is_writer
        assert not ended.is_set()
        network.release()
        async with asyncio.timeout(10):
            await ended.wait()


async def test_without_the_lease_a_write_that_gets_no_answer_says_that_another_may_act(
    make: Callable[..., PostgresStore], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Severed.between(database) as network:
        store = make(network.url)
        await store.open()
        network.hold(before=b"", let_through=False)
        with monkeypatch.context() as short:
            short.setattr(postgres_module, "CALL_SECONDS", 2 * QUICK.duration)
            with pytest.raises(NotLeader, match="did not answer"):
                await store.admit(OPERATIONS, ENTRY)
        network.release()
        await store.save(OPERATIONS, Entry(2, "operation-2", active=False, record=b"{}"))
        assert [entry.id for entry in await store.entries(OPERATIONS)] == ["operation-2"]


async def test_two_takers_have_different_terms(make: Callable[..., PostgresStore]) -> None:
    stores = [make(name=f"server {number}") for number in range(4)]
    terms = []
    for store in stores:
        await store.open()
        assert store._lease.held is not None
        terms.append(store._lease.held.term)
        await store.close()
    assert terms == [1, 2, 3, 4]


async def test_of_servers_that_start_at_once_one_gets_the_lease(make: Callable[..., PostgresStore]) -> None:
    """One of them makes the tables; the others wait for it."""
    stores = [make(name=f"server {number}") for number in range(4)]
    opened = await asyncio.gather(*(store.open() for store in stores), return_exceptions=True)
    assert [type(each) for each in opened if each is not None] == [NotLeader] * 3
    assert sum(store.is_writer for store in stores) == 1


async def test_namespaces_do_not_see_each_other(make: Callable[..., PostgresStore]) -> None:
    one, other = make(namespace="lab"), make(namespace="home")
    await one.open()
    await other.open()
    await one.admit(OPERATIONS, ENTRY, KEY)
    await other.admit(OPERATIONS, Entry(1, ENTRY.id, active=False, record=b"other"))
    await other.forget_until(OPERATIONS, 1)
    assert await one.entries(OPERATIONS) == [ENTRY]
    assert await other.entries(OPERATIONS) == []
    assert await other.keys() == []


async def test_a_database_of_a_newer_version_is_left_alone(make: Callable[..., PostgresStore], database: str) -> None:
    store = make()
    await store.open()
    await store.close()
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO exo_graphql_schema VALUES (1000)")
    with pytest.raises(StoreError, match="newer version of exo-graphql"):
        await make().open()


async def test_a_restart_of_the_database_is_waited_for(
    make: Callable[..., PostgresStore], postgres: PostgresServer
) -> None:
    store = make()
    await store.open()
    await store.admit(OPERATIONS, ENTRY, KEY)
    await asyncio.to_thread(postgres.stop)
    saving = asyncio.create_task(store.save(OPERATIONS, Entry(1, ENTRY.id, active=False, record=b"ended")))
    await asyncio.to_thread(postgres.start)
    await saving
    assert await store.entries(OPERATIONS) == [Entry(1, ENTRY.id, active=False, record=b"ended")]


@pytest.mark.parametrize("cut", ["before the commit", "after the commit"])
async def test_what_was_refused_is_not_there_once_the_database_is_back(
    cut: str, make: Callable[..., PostgresStore], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is cut so that no answer comes, and the caller is refused; later writes go over a new one."""
    async with Severed.between(database) as network:
        store = make(network.url)
        await store.open()
        network.hold(before=b"COMMIT", let_through=cut == "after the commit")
        with monkeypatch.context() as short:
            short.setattr(postgres_module, "CALL_SECONDS", 0.5)
            with pytest.raises(StoreError, match="did not answer within"):
                await store.admit(OPERATIONS, ENTRY, KEY)
        network.release()
        await store.admit(OPERATIONS, Entry(2, "operation-2", active=True, record=b"{}"))
        assert [entry.id for entry in await store.entries(OPERATIONS)] == ["operation-2"]
        assert await store.keys() == []


async def test_what_is_refused_while_a_write_is_under_way_is_removed_by_the_next_one(
    make: Callable[..., PostgresStore], database: str
) -> None:
    store = make()
    await store.open()
    await store.save(OPERATIONS, ENTRY)
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE exo_graphql_deployments")
        saving = asyncio.create_task(store.save(Collection.DEPLOYMENTS, ENTRY))
        await until(lambda: other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
        store._refused[ENTRY.id] = OPERATIONS, None  # as where its caller was refused meanwhile
    await saving
    await store.save(Collection.DEPLOYMENTS, ENTRY)
    assert await store.entries(OPERATIONS) == []


async def test_a_call_that_hangs_does_not_cost_the_lease(
    make: Callable[..., PostgresStore], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make()
    await store.open()
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE exo_graphql_operations")
        with monkeypatch.context() as short:
            short.setattr(postgres_module, "CALL_SECONDS", 2 * QUICK.duration)
            with pytest.raises(StoreError, match="did not answer within"):
                await store.save(OPERATIONS, ENTRY)
        assert store.is_writer
    await store.save(OPERATIONS, ENTRY)


async def test_a_database_that_may_only_be_read_says_so(
    make: Callable[..., PostgresStore], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make()
    await store.open()
    await store.save(OPERATIONS, ENTRY)
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(f"ALTER DATABASE {other.info.dbname} SET default_transaction_read_only = on")
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'exo-graphql'")
    with monkeypatch.context() as short:
        short.setattr(postgres_module, "CALL_SECONDS", 0.5)
        with pytest.raises(StoreError, match="read-only transaction"):
            await store.save(OPERATIONS, ENTRY)
    assert await store.entries(OPERATIONS) == [ENTRY]


async def test_a_database_that_is_not_there_is_named_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "CALL_SECONDS", 0.5)
    store = PostgresStore("postgresql://somebody:secret@127.0.0.1:9/nothing", elapsed=clock.elapsed)
    with pytest.raises(StoreError, match=r"port 9 failed: Connection refused") as refused:
        await store.open()
    assert "secret" not in str(refused.value)
    await store.close()
