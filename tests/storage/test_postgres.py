"""The store in PostgreSQL: what breaks is bounded in time, nothing late is written, nothing refused is found later."""

import asyncio
import time
from importlib.resources import files

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from exo_graphql import clock
from exo_graphql.storage import Collection, Entry, Key, NotLeader, StoreError
from exo_graphql.storage import postgres as postgres_module
from exo_graphql.storage.postgres import PostgresStore
from exo_graphql.storage.postgres_migrations import migrations
from exo_graphql.storage.postgres_session import bounded
from exo_graphql.storage.postgres_statements import Refused
from tests.support.postgres import PostgresServer
from tests.support.running import PATIENCE, until
from tests.support.severed import Severed
from tests.support.stores import LASTING, Make, SetClock, until_leads, until_renewed

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
        asleep = SetClock()
        store = make(url=network.url, elapsed=asleep)
        await store.open()
        network.hold(before=b"exo_graphql", let_through=False)
        with monkeypatch.context() as short:
            short.setattr(postgres_module, "CALL_SECONDS", 0.5)
            admitting = asyncio.create_task(store.admit(OPERATIONS, ENTRY))
            await asyncio.sleep(0)  # it has begun
            asleep.ahead = LASTING.duration
            with pytest.raises(NotLeader, match=r"did not answer|could not be used for"):
                await admitting
        network.release()
        await until_leads(store)
        await store.save(OPERATIONS, Entry(2, "operation-2", active=False, record=b"{}"))
        assert [entry.id for entry in await store.entries(OPERATIONS)] == ["operation-2"]


async def test_an_answer_that_came_while_the_process_was_held_up_counts() -> None:
    async def answer() -> str:
        await asyncio.sleep(0.01)
        return "an answer"

    asyncio.get_running_loop().call_later(0.001, time.sleep, 0.1)
    assert await bounded(answer(), 0.02) == "an answer"


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


async def test_a_restart_of_the_database_is_waited_for(
    make: Make, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_module, "CALL_SECONDS", PATIENCE)
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
    cut: str, make: Make, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is cut so that no answer comes, and the caller is refused; later writes go over a new one."""
    async with Severed.between(database) as network:
        store = make(url=network.url)
        await store.open()
        network.hold(before=b"COMMIT", let_through=cut == "after the commit")
        with monkeypatch.context() as short:
            short.setattr(postgres_module, "CALL_SECONDS", 0.5)
            with pytest.raises(StoreError, match=r"did not answer within|could not be used for"):
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
            short.setattr(postgres_module, "CALL_SECONDS", 1.0)
            saving = asyncio.create_task(store.save(OPERATIONS, ENTRY))
            await until(lambda: other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
            await until_renewed(store)  # beside the call
            with pytest.raises(StoreError, match="did not answer within"):
                await saving
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
        short.setattr(postgres_module, "CALL_SECONDS", 2.0)
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


@pytest.mark.parametrize("fault", ["disk_full", "io_error"])
async def test_a_full_disk_is_said_at_once_and_what_is_read_is_still_read(
    fault: str, make: Make, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make()
    await store.open()
    await store.save(OPERATIONS, ENTRY)
    with psycopg.connect(database) as other:
        other.execute(
            SQL(
                "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "RAISE EXCEPTION 'could not extend file' USING ERRCODE = {}; END $$"
            ).format(fault)
        )
        other.execute("CREATE TRIGGER fail BEFORE INSERT ON exo_graphql_operations EXECUTE FUNCTION fail()")
    with monkeypatch.context() as long:
        long.setattr(postgres_module, "CALL_SECONDS", 3600.0)  # it is not tried again for all of this time
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(StoreError, match="could not extend file"):
                await store.admit(OPERATIONS, Entry(2, "operation-2", active=True, record=b"{}"), KEY)
    assert await store.entries(OPERATIONS) == [ENTRY]
    with psycopg.connect(database) as other:
        other.execute("DROP FUNCTION fail CASCADE")
    await store.admit(OPERATIONS, Entry(2, "operation-2", active=True, record=b"{}"), KEY)


async def test_a_database_that_can_only_be_read_does_not_let_a_server_start(
    make: Make, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_module, "CALL_SECONDS", 2.0)
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(
            SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(Identifier(other.info.dbname))
        )
    with pytest.raises(StoreError, match="read-only transaction"):
        await make().open()


async def test_what_was_refused_is_not_found_when_the_same_server_leads_again(
    make: Make, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease has ended before the database answered again; it reads everything then."""
    async with Severed.between(database) as network:
        asleep = SetClock()
        store = make(url=network.url, elapsed=asleep)
        await store.open()
        await _refused(store, network, monkeypatch)
        asleep.ahead = LASTING.duration
        await until_leads(store, leads=False)
        network.release()
        await until_leads(store)
        assert await store.entries(OPERATIONS) == []
        assert await store.keys() == []


async def test_what_was_refused_is_left_to_the_server_that_has_led_since(
    make: Make, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have gone on with it: then it is not to be deleted by the one that refused it."""
    async with Severed.between(database) as network:
        asleep = SetClock()
        first, second = make("one", url=network.url, elapsed=asleep), make("two", elapsed=asleep)
        await first.open()
        await second.open()
        await _refused(first, network, monkeypatch)
        asleep.ahead = LASTING.duration
        await until_leads(second)
        network.release()
        await second.close()
        await until_leads(first)
        assert await first.entries(OPERATIONS) == [ENTRY]
        await first.save(Collection.DEPLOYMENTS, ENTRY)
        assert await first.entries(OPERATIONS) == [ENTRY]


async def _refused(store: PostgresStore, network: Severed, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation whose caller was refused, and that was written all the same; nothing is heard of the database."""
    network.hold(before=b"COMMIT", let_through=True)
    with monkeypatch.context() as short:
        short.setattr(postgres_module, "CALL_SECONDS", 1.0)
        with pytest.raises(StoreError, match="did not answer within"):
            await store.admit(OPERATIONS, ENTRY, KEY)
    network.hold(before=b"exo_graphql", let_through=False)


async def test_what_is_being_written_while_the_server_ends_is_written_before_the_lease_is_given_up(
    make: Make, database: str
) -> None:
    store = make()
    await store.open()
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE exo_graphql_operations")
        saving = asyncio.create_task(store.save(OPERATIONS, ENTRY))
        await until(lambda: other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
        saving.cancel()
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0.05)
    await closing
    second = make("two")
    await second.open()
    assert second.leadership.leads
    assert await second.entries(OPERATIONS) == [ENTRY]


async def test_a_database_of_an_earlier_version_is_brought_to_this_one(make: Make, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE exo_graphql_schema (version integer NOT NULL)")
        for number, statements in enumerate(migrations()[:2], 1):
            connection.execute(statements.encode())
            connection.execute("INSERT INTO exo_graphql_schema VALUES (%s)", (number,))
        connection.execute(
            "INSERT INTO exo_graphql_leases VALUES ('default', 'holder', 'old', 7, clock_timestamp() - interval '1 s')"
        )
        connection.execute(
            "INSERT INTO exo_graphql_operations VALUES ('default', 1, 'operation-1', true, %s)", (ENTRY.record,)
        )
    store = make()
    await store.open()
    assert await store.entries(OPERATIONS) == [ENTRY]
    await store.save(OPERATIONS, ENTRY)
    assert store._lease.held is not None
    assert store._lease.held.term == 8


async def test_a_failover_is_followed_to_the_other_host_of_the_url(
    make: Make, postgres: PostgresServer, database: str
) -> None:
    """A standby takes the place of a primary that has failed: nothing is lost, and somebody leads there."""
    with postgres.standby() as standby:
        name = database.rpartition("/")[2]
        hosts = f"127.0.0.1:{postgres.port},127.0.0.1:{standby.port}"
        asleep = SetClock()
        store = make(url=f"postgresql://tests@{hosts}/{name}?target_session_attrs=read-write", elapsed=asleep)
        await store.open()
        await store.admit(OPERATIONS, ENTRY, KEY)
        await asyncio.to_thread(postgres.until_replayed)
        await asyncio.to_thread(postgres.stop)
        try:
            asleep.ahead = LASTING.duration
            await until_leads(store, leads=False)
            await asyncio.to_thread(standby.run, "pg_ctl", "promote", "-w", "-D", str(standby.directory / "data"))
            await until_leads(store)
            assert await store.entries(OPERATIONS) == [ENTRY]
            await store.save(OPERATIONS, ENTRY)
            assert store._lease.held is not None
            assert store._lease.held.term == 2
            await store.close()
        finally:
            await asyncio.to_thread(postgres.start)


async def test_a_database_that_answers_with_an_error_is_not_said_to_be_silent(
    make: Make, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_module, "CALL_SECONDS", 0.3)
    with pytest.raises(StoreError, match=r'could not be used for 0\.3 s: .*database "missing" does not exist') as error:
        await make(url=database.rpartition("/")[0] + "/missing").open()
    assert "did not answer" not in str(error.value)
