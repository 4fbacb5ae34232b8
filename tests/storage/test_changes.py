"""What a server learns of the writes of others: at once by notifications, and by versions where they are lost."""

import asyncio
from collections.abc import Iterable

import orjson
import psycopg
import pytest

from exo_graphql.storage import Collection, Entry, Key, Store
from exo_graphql.storage.changes import Changes
from tests.support.running import PATIENCE, until
from tests.support.severed import Severed
from tests.support.stores import LASTING, Make, listens_alone, until_leads

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

OPERATIONS, EVENTS = Collection.OPERATIONS, Collection.EVENTS
ENTRY = Entry(1, "operation-1", active=True, record=b"{}")


@pytest.fixture
def anyio_backend() -> str:
    """Not virtual time, as for the other tests of this directory: PostgreSQL is another process."""
    return "asyncio"


class Heard:
    """What a store has reported."""

    def __init__(self, store: Store) -> None:
        self.changes: list[tuple[Collection, frozenset[str] | None]] = []
        self._new = asyncio.Event()
        store.on_change(self._add)

    def _add(self, collection: Collection, ids: frozenset[str] | None) -> None:
        self.changes.append((collection, ids))
        self._new.set()

    async def count(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.changes) < count:
                await self._new.wait()
                self._new.clear()


def entries(count: int) -> list[Entry]:
    ids = [f"00000000-0000-0000-0000-{number:012}" for number in range(count)]
    return [Entry(number, id_, active=False, record=b"{}") for number, id_ in enumerate(ids)]


async def test_every_write_is_reported_to_others_with_its_ids_and_not_to_its_writer(make: Make) -> None:
    leader, follower = make("one"), make("two")
    await leader.open()
    await follower.open()
    await listens_alone(follower)
    heard, own = Heard(follower), Heard(leader)
    await leader.admit(OPERATIONS, ENTRY, Key("k", "print", ENTRY.id, 1.5))
    await leader.save(OPERATIONS, ENTRY)
    await leader.append(EVENTS, entries(3))
    await leader.forget_until(EVENTS, 1)
    await leader.forget(OPERATIONS, [ENTRY.id], ["k"])
    await heard.count(5)
    named = [each.id for each in entries(3)]
    assert heard.changes == [
        (OPERATIONS, frozenset({ENTRY.id})),
        (OPERATIONS, frozenset({ENTRY.id})),
        (EVENTS, frozenset(named)),
        (EVENTS, frozenset(named[:2])),
        (OPERATIONS, frozenset({ENTRY.id})),
    ]
    for _ in range(2):
        await follower._leadership._session.run(follower._leadership._meet, PATIENCE)
    assert len(heard.changes) == 5  # the versions agree
    assert own.changes == []


async def test_more_ids_than_a_notification_holds_are_reported_as_any(make: Make) -> None:
    leader, follower = make("one"), make("two")
    await leader.open()
    await follower.open()
    await listens_alone(follower)
    heard = Heard(follower)
    await leader.append(EVENTS, entries(1000))
    await heard.count(1)
    assert heard.changes == [(EVENTS, None)]


async def test_other_namespaces_are_not_heard(make: Make) -> None:
    one, other = make(namespace="lab"), make(namespace="home")
    await one.open()
    await other.open()
    heard = Heard(other)
    await one.save(OPERATIONS, ENTRY)
    await other.save(EVENTS, ENTRY)
    await asyncio.sleep(3 * LASTING.look_every)
    assert heard.changes == []


async def test_a_change_whose_notification_was_lost_is_noticed_by_its_version(make: Make, database: str) -> None:
    """As behind a pooler, which gives `LISTEN` and what comes after it different connections."""
    leader, follower = make("one"), make("two")
    await leader.open()
    await follower.open()
    heard = Heard(follower)
    connection = follower._listener._connection
    assert connection is not None
    await connection.execute("UNLISTEN exo_graphql")
    await leader.save(OPERATIONS, ENTRY)
    await heard.count(1)
    assert heard.changes == [(OPERATIONS, None)]


async def test_after_a_cut_anything_may_have_changed(make: Make, database: str) -> None:
    leader, follower = make("one"), make("two")
    await leader.open()
    await follower.open()
    heard, own = Heard(follower), Heard(leader)
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    await heard.count(len(Collection))
    assert set(heard.changes) == {(collection, None) for collection in Collection}
    await listens_alone(follower)
    await leader.save(OPERATIONS, ENTRY)
    await heard.count(len(Collection) + 1)
    assert heard.changes[-1] == (OPERATIONS, frozenset({ENTRY.id}))
    assert own.changes == []  # the only one that writes has missed nothing


async def test_a_server_starts_also_where_it_cannot_listen_yet(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where all connections that the database allows are taken: the versions tell what was written meanwhile."""
    monkeypatch.setattr("exo_graphql.storage.listener.PAUSE", 0.1)
    leader, follower = make("one"), make("two")
    await leader.open()

    async def refuse(_: str) -> psycopg.AsyncConnection[object]:
        raise psycopg.OperationalError("remaining connection slots are reserved")

    with monkeypatch.context() as full:
        full.setattr("exo_graphql.storage.listener.connect", refuse)
        await follower.open()
        heard = Heard(follower)
        await leader.save(OPERATIONS, ENTRY)
        await heard.count(1)
        assert heard.changes == [(OPERATIONS, None)]
    await heard.count(1 + len(Collection))
    await listens_alone(follower)
    await leader.save(OPERATIONS, ENTRY)
    await heard.count(2 + len(Collection))
    assert heard.changes[-1] == (OPERATIONS, frozenset({ENTRY.id}))
    assert caplog.text.count("do not arrive: remaining connection slots") == 1


async def test_a_connection_that_is_cut_in_silence_is_noticed(
    make: Make, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exo_graphql.storage.listener.TRY_EVERY", 0.1)
    monkeypatch.setattr("exo_graphql.storage.listener.ANSWER_SECONDS", 0.2)
    monkeypatch.setattr("exo_graphql.storage.listener.PAUSE", 0.1)
    async with Severed.between(database) as network:
        leader, follower = make("one"), make("two", url=network.url)
        await leader.open()
        await follower.open()
        heard = Heard(follower)
        network.hold(before=b"LISTEN", let_through=False)
        await until(lambda: not follower._changes.is_heard)
        network.release()
        await heard.count(len(Collection))


async def test_what_others_wrote_is_reported_to_the_one_that_follows_now(make: Make) -> None:
    first, second = make("one"), make("two")
    await first.open()
    await second.open()
    await first.save(OPERATIONS, ENTRY)
    await first.close()
    await until_leads(second)
    third = make("three")
    await third.open()
    await listens_alone(third)
    heard = Heard(third)
    await second.save(OPERATIONS, ENTRY)
    await heard.count(1)
    assert heard.changes == [(OPERATIONS, frozenset({ENTRY.id}))]


def told(version: int, ids: Iterable[str] | None = ("x",), by: str = "other", namespace: str = "default") -> str:
    return orjson.dumps(
        {"namespace": namespace, "collection": "operations", "version": version, "by": by, "ids": ids and list(ids)}
    ).decode()


@pytest.mark.parametrize(
    ("payloads", "reported"),
    [
        ([told(1), told(2, ["y"])], [frozenset("x"), frozenset("y")]),
        ([told(1), told(1)], [frozenset("x")]),
        ([told(1), told(3)], [frozenset("x"), None]),
        ([told(1, by="own"), told(2)], [frozenset("x")]),
        ([told(1, None)], [None]),
        ([told(1, namespace="lab")], []),
        (["", "{", "[]", "null", '{"namespace": "default"}', told(1)], [frozenset("x")]),
    ],
    ids=["in order", "twice", "one is lost", "own", "any", "other namespace", "of another version"],
)
async def test_what_is_made_of_notifications(payloads: list[str], reported: list[frozenset[str] | None]) -> None:
    changes = Changes("default", "own", writes_alone=lambda: False)
    heard: list[frozenset[str] | None] = []
    changes.listen(lambda _, ids: heard.append(ids))
    for payload in payloads:
        changes.hear(payload)
    assert heard == reported


async def test_a_version_that_is_read_waits_for_its_notification_once() -> None:
    changes = Changes("default", "own", writes_alone=lambda: False)
    heard: list[frozenset[str] | None] = []
    changes.listen(lambda _, ids: heard.append(ids))
    changes.is_heard = True
    changes.compare({"operations": 1})
    changes.hear(told(1))
    changes.compare({"operations": 1})
    assert heard == [frozenset("x")]
    changes.compare({"operations": 2})
    changes.compare({"operations": 2})
    changes.compare({"operations": 2})
    assert heard == [frozenset("x"), None]
    changes.compare({"operations": 1})  # the database has lost a write: a standby has taken its place
    changes.compare({"operations": 1})
    assert heard == [frozenset("x"), None, None]
