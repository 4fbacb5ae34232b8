"""The store in PostgreSQL: what breaks is bounded in time, nothing late is written, nothing refused is found later."""

import asyncio
from importlib.resources import files

import psycopg
import pytest

from exo_graphql import clock
from exo_graphql.storage import Collection, Entry, Key, NotLeader, StoreError
from exo_graphql.storage import postgres as postgres_module
from exo_graphql.storage.lease_rules import LeaseRules
from exo_graphql.storage.postgres import PostgresStore, Refused
from tests.support.postgres import PostgresServer
from tests.support.running import until
from tests.support.severed import Severed
from tests.support.stores import QUICK, Make, until_leads

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

OPERATIONS = Collection.OPERATIONS
ENTRY = Entry(1, "operation-1", active=True, record=b'{"is": "opaque"}')
KEY = Key("k", "print", "operation-1", 1.5)


@pytest.fixture
def anyio_backend() -> str:
    """Not virtual time, as for the other tests of this directory: PostgreSQL is another process."""
    return "asyncio"


async def test_without_the_lease_a_write_that_gets_no_answer_says_that_another_may_act(
    make: Make, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Severed.between(database) as network:
        store = make(url=network.url)
        await store.open()
        network.hold(before=b"", let_through=False)
        with monkeypatch.context() as short:
            short.setattr(postgres_module, "CALL_SECONDS", 2 * QUICK.duration)
            with pytest.raises(NotLeader, match="did not answer"):
                await store.admit(OPERATIONS, ENTRY)
        network.release()
        await until_leads(store)
        await store.save(OPERATIONS, Entry(2, "operation-2", active=False, record=b"{}"))
        assert [entry.id for entry in await store.entries(OPERATIONS)] == ["operation-2"]


async def test_namespaces_do_not_see_each_other(make: Make) -> None:
    one, other = make(namespace="lab"), make(namespace="home")
    await one.open()
    await other.open()
    await one.admit(OPERATIONS, ENTRY, KEY)
    await other.admit(OPERATIONS, Entry(1, ENTRY.id, active=False, record=b"other"))
    await other.forget_until(OPERATIONS, 1)
    assert await one.entries(OPERATIONS) == [ENTRY]
    assert await other.entries(OPERATIONS) == []
    assert await other.keys() == []


async def test_each_version_of_the_schema_has_a_number_of_its_own() -> None:
    names = [each.name for each in files("exo_graphql.storage").joinpath("sql").iterdir()]
    assert sorted(int(name.split("_")[0]) for name in names) == list(range(1, len(names) + 1))


async def test_a_database_of_a_newer_version_is_left_alone(make: Make, database: str) -> None:
    store = make()
    await store.open()
    await store.close()
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO exo_graphql_schema VALUES (1000)")
    with pytest.raises(StoreError, match="newer version of exo-graphql"):
        await make().open()


async def test_a_restart_of_the_database_is_waited_for(make: Make, postgres: PostgresServer) -> None:
    store = make(rules=LeaseRules())
    await store.open()
    await store.admit(OPERATIONS, ENTRY, KEY)
    await asyncio.to_thread(postgres.stop)
    saving = asyncio.create_task(store.save(OPERATIONS, Entry(1, ENTRY.id, active=False, record=b"ended")))
    await asyncio.to_thread(postgres.start)
    await saving
    assert await store.entries(OPERATIONS) == [Entry(1, ENTRY.id, active=False, record=b"ended")]


@pytest.mark.parametrize("cut", ["before the commit", "after the commit"])
async def test_what_was_refused_is_not_there_once_the_database_is_back(
    cut: str, make: Make, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is cut so that no answer comes, and the caller is refused; later writes go over a new one."""
    async with Severed.between(database) as network:
        store = make(url=network.url)
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


async def test_what_is_refused_while_a_write_is_under_way_is_removed_by_the_next_one(make: Make, database: str) -> None:
    store = make()
    await store.open()
    await store.save(OPERATIONS, ENTRY)
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE exo_graphql_deployments")
        saving = asyncio.create_task(store.save(Collection.DEPLOYMENTS, ENTRY))
        await until(lambda: other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
        store._refused[ENTRY.id] = Refused(OPERATIONS, None, 1)  # as where its caller was refused meanwhile
    await saving
    await store.save(Collection.DEPLOYMENTS, ENTRY)
    assert await store.entries(OPERATIONS) == []


async def test_a_call_that_hangs_does_not_cost_the_lease(
    make: Make, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make()
    await store.open()
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE exo_graphql_operations")
        with monkeypatch.context() as short:
            short.setattr(postgres_module, "CALL_SECONDS", 2 * QUICK.duration)
            with pytest.raises(StoreError, match="did not answer within"):
                await store.save(OPERATIONS, ENTRY)
        assert store.leadership.leads
    await store.save(OPERATIONS, ENTRY)


async def test_a_database_that_may_only_be_read_says_so(
    make: Make, database: str, monkeypatch: pytest.MonkeyPatch
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
