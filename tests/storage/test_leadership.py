"""Servers that share a database: one of them leads, by the clocks of all; another takes over when it is gone."""

import asyncio
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
import pytest

from exo_graphql import clock
from exo_graphql.storage import Collection, Entry, Key, Leaderless, NotLeader
from exo_graphql.storage.lease_rules import LeaseRules
from tests.support.postgres import PostgresServer
from tests.support.running import PATIENCE, until
from tests.support.severed import Severed
from tests.support.stores import LASTING, QUICK, Make, SetClock, stopped, until_leadership, until_leads, until_renewed

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

OPERATIONS = Collection.OPERATIONS
ENTRY = Entry(1, "operation-1", active=True, record=b'{"is": "opaque"}')
KEY = Key("k", "print", "operation-1", 1.5)


@pytest.fixture
def anyio_backend() -> str:
    """Not virtual time, as for the other tests of this directory: PostgreSQL is another process."""
    return "asyncio"


def lease(database: str) -> tuple[str, int]:
    """The name and the term of the one lease."""
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT name, term FROM exo_graphql_leases").fetchone()
    assert row is not None
    return row


def change_lease(database: str, change: LiteralString, *values: str) -> None:
    """As if the clock of the database had been set, or somebody had been at the table."""
    with psycopg.connect(database) as connection:
        connection.execute(change, values)


def is_waited_for(connection: psycopg.Connection[Any]) -> bool:
    """Whether another transaction waits for this one."""
    return connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None


async def test_a_server_that_does_not_lead_reads_everything_and_writes_nothing(make: Make) -> None:
    leader, follower = make("leader"), make("follower")
    await leader.open()
    await leader.admit(OPERATIONS, ENTRY, KEY)
    begun = time.monotonic()
    await follower.open()
    assert time.monotonic() - begun < LASTING.duration / 2  # the lease is not waited for
    assert leader.leadership.leads
    assert not follower.leadership.leads
    assert await follower.entries(OPERATIONS) == [ENTRY]
    assert await follower.some(OPERATIONS, [ENTRY.id]) == [ENTRY]
    assert await follower.newest(OPERATIONS, 1) == [ENTRY]
    assert await follower.keys() == [KEY]
    for write in (
        follower.admit(OPERATIONS, ENTRY),
        follower.save(OPERATIONS, ENTRY),
        follower.append(OPERATIONS, [ENTRY]),
        follower.add_key(KEY),
        follower.forget(OPERATIONS, [ENTRY.id]),
        follower.forget_until(OPERATIONS, 1),
    ):
        with pytest.raises(NotLeader, match="Another server leads: leader"):
            await write
    assert await leader.entries(OPERATIONS) == [ENTRY]


async def test_servers_know_each_other_and_share_a_secret(make: Make) -> None:
    leader, follower = make("a"), make("b")
    await leader.open()
    await follower.open()
    await until_leadership(leader, lambda leadership: len(leadership.replicas) == 2)
    for store in (leader, follower):
        assert [(each.name, each.url, each.leads) for each in store.leadership.replicas] == [
            ("a", "http://a:52416", True),
            ("b", "http://b:52416", False),
        ]
        assert store.leadership.leader == leader.leadership.own
    assert leader.leadership.secret == follower.leadership.secret
    assert len(leader.leadership.secret or "") >= 32
    await follower.close()
    await until_leadership(leader, lambda leadership: len(leadership.replicas) == 1)


@dataclass(frozen=True, slots=True)
class Rarely(LeaseRules):
    """Of a server that does not look by itself for as long as a test takes."""

    @property
    def look_every(self) -> float:
        """See `LeaseRules`."""
        return 60.0


async def test_a_new_leader_is_known_by_the_first_thing_that_it_writes(make: Make) -> None:
    first, second = make("one", rules=QUICK), make("two")
    third = make("three", rules=Rarely(QUICK.duration, QUICK.renew_every))
    third.leadership.begin_only_while(lambda: False)
    await first.open()
    await third.open()
    await first.close()
    await until_leadership(third, lambda leadership: leadership.leaderless is not None)
    assert third.leadership.leaderless == Leaderless("No server leads now.")
    await second.open()
    await second.save(OPERATIONS, ENTRY)
    await until_leadership(third, lambda leadership: leadership.leader == second.leadership.own)
    assert third.leadership.leaderless is None


async def test_a_server_that_is_gone_is_not_shown_after_two_leases(make: Make, database: str) -> None:
    leader, follower = make("a"), make("b")
    await leader.open()
    await follower.open()
    await until_leadership(leader, lambda leadership: len(leadership.replicas) == 2)
    await stopped(follower)
    seen = "UPDATE exo_graphql_replicas SET seen_at = clock_timestamp() - %s::interval WHERE name = 'b'"
    change_lease(database, seen, f"{1.5 * LASTING.duration} s")
    shown_at = leader._leadership._shown_at
    await until(lambda: leader._leadership._shown_at > shown_at + LASTING.renew_every)  # it has looked since then
    assert len(leader.leadership.replicas) == 2
    change_lease(database, seen, f"{2 * LASTING.duration} s")
    await until_leadership(leader, lambda leadership: len(leadership.replicas) == 1)


async def test_a_slow_database_costs_neither_the_lease_nor_being_seen(make: Make, database: str) -> None:
    leader, follower = make("a"), make("b")
    await leader.open()
    await follower.open()
    await until_leadership(leader, lambda leadership: len(leadership.replicas) == 2)
    with psycopg.connect(database) as connection:
        # Longer than between two renewals.
        connection.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.35); RETURN NULL; "
            "END $$"
        )
        connection.execute("CREATE TRIGGER slow BEFORE INSERT ON exo_graphql_replicas EXECUTE FUNCTION slow()")
    changes = []
    follower.leadership.listen(lambda: changes.append(follower.leadership.leader))
    for _ in range(3):
        await until_renewed(leader)
    assert lease(database) == ("a", 1)
    with psycopg.connect(database, autocommit=True) as connection:
        now = connection.execute("SELECT clock_timestamp()").fetchone()
        assert now is not None
        recent = "SELECT name FROM exo_graphql_replicas WHERE seen_at > %s"
        await until(lambda: {name for (name,) in connection.execute(recent, now)} == {"a", "b"})
    assert None not in changes


async def test_one_that_ends_is_replaced_at_once_and_one_that_is_killed_after_its_lease(
    make: Make, database: str
) -> None:
    first, second = make("one"), make("two")
    await first.open()
    await second.open()
    await first.close()
    begun = time.monotonic()
    await until_leads(second)
    assert time.monotonic() - begun < LASTING.duration / 2
    assert lease(database) == ("two", 2)
    await second.close()
    second, third = make("two", rules=QUICK), make("three")
    await second.open()
    await third.open()
    await stopped(second)
    with psycopg.connect(database, autocommit=True) as connection:
        held = connection.execute("SELECT holder, expires_at FROM exo_graphql_leases").fetchone()
        assert held is not None
        await until_leads(third)
        over = connection.execute("SELECT clock_timestamp() >= %s", held[1:]).fetchone()
        assert held[0] != second.leadership.own.id or over == (True,)
    assert lease(database)[0] == "three"
    assert not second.leadership.leads


async def test_the_same_server_leads_on_while_it_renews(make: Make, database: str) -> None:
    leader, follower = make("one"), make("two")
    await leader.open()
    await follower.open()
    changes = []
    leader.leadership.listen(lambda: changes.append(leader.leadership.leads))
    for _ in range(3):
        await until_renewed(leader)
    assert lease(database) == ("one", 1)
    assert False not in changes
    assert 0 < leader.leadership.seconds_left <= LASTING.duration


async def test_of_servers_that_start_at_once_one_leads(make: Make) -> None:
    """One of them makes the tables; the others wait for it."""
    stores = [make(f"server {number}") for number in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    assert sum(store.leadership.leads for store in stores) == 1


async def test_each_namespace_has_its_leader_and_its_secret(make: Make) -> None:
    one, other = make(namespace="lab"), make(namespace="home")
    await one.open()
    await other.open()
    assert one.leadership.leads
    assert other.leadership.leads
    assert len(one.leadership.replicas) == len(other.leadership.replicas) == 1
    assert one.leadership.secret != other.leadership.secret


async def test_what_a_server_sends_after_another_has_taken_over_is_refused(make: Make) -> None:
    """Also where it has not noticed: the database refuses it, and it stops leading at once."""
    asleep = SetClock()
    first, second = make("one", elapsed=asleep, rules=QUICK), make("two")
    await first.open()
    await second.open()
    await stopped(first)
    await until_leads(second)
    await second.save(OPERATIONS, ENTRY)
    assert first._lease.held is not None
    asleep.still = first._lease.held.begins  # its clock says that its lease still lasts
    assert first.leadership.seconds_left > 0
    with pytest.raises(NotLeader, match="has taken over"):
        await first.admit(OPERATIONS, Entry(2, "operation-2", active=True, record=b"late"), KEY)
    assert not first.leadership.leads
    assert await second.entries(OPERATIONS) == [ENTRY]
    assert await second.keys() == []


async def test_a_server_does_not_lead_at_the_moment_it_goes_on_after_it_slept(make: Make) -> None:
    asleep = SetClock()
    store = make(elapsed=asleep)
    await store.open()
    asleep.ahead = LASTING.duration
    assert not store.leadership.leads  # before any task of it has run
    assert store.leadership.seconds_left == 0
    assert store.leadership.leader is None
    with pytest.raises(NotLeader, match="No server leads now"):
        await store.save(OPERATIONS, ENTRY)


async def test_the_time_alone_ends_a_lease_and_calls_the_listeners(make: Make, database: str) -> None:
    async with Severed.between(database) as network:
        store = make(url=network.url, rules=QUICK)
        await store.open()
        network.hold(before=b"exo_graphql", let_through=False)
        await until_leads(store, leads=False)
        network.release()
        await until_leads(store)
    assert lease(database)[1] >= 2  # what it sent under the first term must not be written any more


async def test_a_leader_that_is_cut_off_stops_before_another_begins(make: Make, database: str) -> None:
    async with Severed.between(database) as network:
        first, second = make("one", url=network.url, rules=QUICK), make("two")
        await first.open()
        await second.open()
        both = []

        def look() -> None:
            both.append(first.leadership.leads and second.leadership.leads)

        first.leadership.listen(look)
        second.leadership.listen(look)
        network.hold(before=b"exo_graphql_leases", let_through=False)
        await until_leads(second)
        assert not first.leadership.leads
        network.release()
        await until_leadership(first, lambda leadership: leadership.leader is not None)
        assert first.leadership.leader == second.leadership.own
        assert True not in both


async def test_a_renewal_that_hangs_does_not_cost_the_lease(make: Make, database: str) -> None:
    """The connection of the lease says nothing any more; the next attempt takes another one."""
    async with Severed.between(database) as network:
        store = make(url=network.url)
        await store.open()
        changes = []
        store.leadership.listen(lambda: changes.append(store.leadership.leads))
        hanging = store._leadership._session
        network.hold(before=b"INSERT INTO exo_graphql_leases", let_through=False)
        await until(lambda: store._leadership._session is not hanging)
        network.release()
        await until_renewed(store)
        assert False not in changes
        assert store.leadership.leads
    assert lease(database)[1] == 1


async def test_an_answer_that_comes_after_the_end_does_not_continue_the_lease(make: Make, database: str) -> None:
    asleep = SetClock()
    store = make(elapsed=asleep)
    await store.open()
    changes = []
    store.leadership.listen(lambda: changes.append(store.leadership.leads))
    with psycopg.connect(database) as other:
        other.execute("SELECT 1 FROM exo_graphql_leases FOR UPDATE")
        await until(lambda: is_waited_for(other))  # it has asked, and waits
        asleep.ahead = LASTING.duration
    await until_leads(store)
    assert changes[0] is False
    assert lease(database) == ("one", 2)


async def test_a_write_of_an_earlier_term_is_refused_though_the_same_server_leads_again(
    make: Make, database: str
) -> None:
    """What it read under the new term would change behind its back."""
    asleep = SetClock()
    store = make(elapsed=asleep)
    await store.open()
    await store.save(OPERATIONS, ENTRY)
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE exo_graphql_operations IN SHARE MODE")
        saving = asyncio.create_task(store.save(OPERATIONS, Entry(1, ENTRY.id, active=False, record=b"late")))
        await until(lambda: is_waited_for(other))
        asleep.ahead = LASTING.duration
        await until_leads(store)
        other.commit()
    with pytest.raises(NotLeader):
        await saving
    assert await store.entries(OPERATIONS) == [ENTRY]


@pytest.mark.parametrize("jump", ["-1 hour", "1 hour"])
async def test_a_jump_of_the_databases_clock_makes_no_two_leaders_and_no_gap(
    jump: str, make: Make, database: str
) -> None:
    """The rest of a lease is an hour longer or shorter by that clock; all servers measure by their own as well."""
    first, second = make("one", rules=QUICK), make("two")
    await first.open()
    await second.open()
    both = []
    second.leadership.listen(lambda: both.append(first.leadership.leads and second.leadership.leads))
    await stopped(first)
    change_lease(database, "UPDATE exo_graphql_leases SET expires_at = expires_at + %s::interval", jump)
    await until_leads(second)
    assert both
    assert True not in both
    name, term = lease(database)
    assert (name, term >= 2) == ("two", True)


async def test_a_lease_that_somebody_deletes_makes_no_two_leaders_and_no_old_term(make: Make, database: str) -> None:
    first, second = make("one", rules=QUICK), make("two")
    await first.open()
    await second.open()
    both, (_, before) = [], lease(database)

    def look() -> None:
        both.append(first.leadership.leads and second.leadership.leads)

    first.leadership.listen(look)
    second.leadership.listen(look)
    change_lease(database, "DELETE FROM exo_graphql_leases")

    def leads_anew() -> bool:
        leaders = [each for each in (first, second) if each.leadership.leads]
        return len(leaders) == 1 and leaders[0]._leadership.term() > before

    await until(leads_anew)
    assert True not in both
    assert lease(database)[1] > before


async def test_a_longer_lease_of_another_server_is_respected(make: Make, database: str) -> None:
    first, second = make("one"), make("two", rules=QUICK)
    await first.open()
    await second.open()
    await until_renewed(first)
    await asyncio.sleep(2 * QUICK.duration)
    assert first.leadership.leads
    assert lease(database) == ("one", 1)


async def test_while_the_database_is_away_nobody_leads_and_then_one_does(
    make: Make, postgres: PostgresServer, database: str
) -> None:
    asleep = SetClock()
    stores = [make("one", elapsed=asleep), make("two", elapsed=asleep)]
    for store in stores:
        await store.open()
    await asyncio.to_thread(postgres.stop)
    try:
        asleep.ahead = LASTING.duration
        await until(lambda: "refused" in (stores[0]._leadership._session.last_error or ""))
        await until_leads(stores[0], leads=False)
        await until_leadership(stores[1], lambda leadership: leadership.leader is None)
        assert stores[0].leadership.leader is None
        with pytest.raises(NotLeader, match=r"No server is known to lead\. .*Connection refused"):
            await stores[0].save(OPERATIONS, ENTRY)
    finally:
        await asyncio.to_thread(postgres.start)
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait(
            [asyncio.create_task(until_leads(store)) for store in stores], return_when=asyncio.FIRST_COMPLETED
        )
    (leader,) = (store for store in stores if store.leadership.leads)
    await leader.save(OPERATIONS, ENTRY)
    assert lease(database)[1] == 2


async def test_a_listener_that_fails_keeps_no_server_from_its_lease(make: Make) -> None:
    first, second = make("one"), make("two")
    await first.open()
    await second.open()

    def fail() -> None:
        raise RuntimeError("a fault of its own")

    second.leadership.listen(fail)
    await first.close()
    await until_leads(second)


async def test_a_server_that_slept_leads_again_only_once_nothing_acts_because_of_its_old_lease(make: Make) -> None:
    """Another one may have led meanwhile, and be gone: what still acts here would write what it knew before."""
    sleeper = SetClock()
    store, rests = make(elapsed=sleeper), True
    store.leadership.begin_only_while(lambda: rests)
    await store.open()
    assert store.leadership.leads
    rests = False
    await until_renewed(store)  # that needs no rest
    assert store.leadership.leads
    lost: list[bool] = []
    store.leadership.listen(lambda: lost.append(store.leadership.leads))
    sleeper.ahead = 10 * LASTING.duration
    with pytest.raises(NotLeader):
        await store.save(OPERATIONS, ENTRY)
    await asyncio.sleep(6 * LASTING.renew_every)
    assert lost == [False]
    with pytest.raises(NotLeader):
        await store.save(OPERATIONS, ENTRY)
    rests = True
    await until_leads(store)
    await store.save(OPERATIONS, ENTRY)


async def test_a_server_that_starts_again_takes_the_place_of_the_one_that_was_killed(make: Make) -> None:
    leader, killed, again = make("a"), make("b"), make("b")
    await leader.open()
    await killed.open()
    await stopped(killed)
    await again.open()
    await until_leadership(leader, lambda leadership: again.leadership.own in leadership.replicas)
    assert [each.name for each in leader.leadership.replicas] == ["a", "b"]


async def test_two_servers_that_are_said_to_be_reached_at_one_place_are_warned(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """As where both listen on loopback, on machines of their own."""
    first, second = make("mini-1"), make("mini-2", address="http://mini-1:52416")
    await first.open()
    await second.open()
    await until_leadership(first, lambda leadership: len(leadership.replicas) == 2)
    warnings = [record.getMessage() for record in caplog.records if "--advertise-url" in record.getMessage()]
    assert sorted(text.split()[0] for text in warnings) == ["mini-1", "mini-2"]


async def test_a_secret_that_is_lost_is_made_anew_for_all(make: Make, database: str) -> None:
    """As where a standby takes the place of a primary without its last writes."""
    first, second = make("one"), make("two")
    await first.open()
    await second.open()
    before = first.leadership.secret
    change_lease(database, "DELETE FROM exo_graphql_secrets")
    await until_leadership(first, lambda leadership: leadership.secret != before)
    await until_leadership(second, lambda leadership: leadership.secret == first.leadership.secret)


async def test_an_internal_error_does_not_end_the_attempts(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make("one"), make("two")
    await first.open()
    await second.open()
    failed = asyncio.Event()

    async def fail(_: object) -> None:
        failed.set()
        raise RuntimeError("a fault of its own")

    with monkeypatch.context() as faulty:
        faulty.setattr(second._lease, "observe", fail)
        await failed.wait()
    await first.close()
    await until_leads(second)


PROCESS = """
import asyncio, sys, time
from exo_graphql import clock
from exo_graphql.storage.lease_rules import LeaseRules
from exo_graphql.storage.postgres import PostgresStore

async def main():
    store = PostgresStore(sys.argv[1], elapsed=clock.elapsed, name="process", rules=LeaseRules(0.6, 0.2))
    await store.open()
    while True:
        print(clock.elapsed(), store.leadership.leads, flush=True)
        await asyncio.sleep(0.005)

asyncio.run(main())
"""


async def test_a_process_that_was_stopped_does_not_lead_when_it_goes_on(make: Make, database: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROCESS, database, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        while b"True" not in (line := await process.stdout.readline()):
            assert line, "it has ended"
        store = make("other")
        await store.open()
        process.send_signal(signal.SIGSTOP)
        await until_leads(store)
        leads_since = clock.elapsed()
        process.send_signal(signal.SIGCONT)
        said: list[str] = []
        while len(said) < 20:
            at, leads = (await process.stdout.readline()).decode().split()
            if float(at) >= leads_since:
                said.append(leads)
        assert said == ["False"] * 20
    finally:
        process.kill()
        await process.wait()
