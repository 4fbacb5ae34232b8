"""A journal of SQLite beside a database: brought into it whole, or left as it is with a warning."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from exo_graphql.storage import Collection, Entry, Key, StoreError
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.stores import QUICK, Make

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

ENTRY = Entry(3, "one", active=True, record=b'{"is": "opaque\\n\\\\"}\x00\xff')
KEY = Key("nightly", "fingerprint", "one", 1750593600.25)


@pytest.fixture
def anyio_backend() -> str:
    """Not virtual time, as for the other tests of this directory: PostgreSQL is another process."""
    return "asyncio"


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    """One with an entry in every collection."""
    path = tmp_path / "operations.sqlite3"
    store = SQLiteStore(path)
    await store.open()
    for collection in Collection:
        await store.admit(collection, replace(ENTRY, id=collection.value), KEY)
    await store.close()
    return path


def _is_there(path: Path) -> bool:
    return path.exists()


def _damage(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.with_name(f"{path.name}-wal").write_bytes(b"its log")


def _files(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.parent.iterdir()}


async def test_the_journal_of_before_is_brought_into_an_empty_database_and_set_aside(make: Make, journal: Path) -> None:
    store = make(journal=journal)
    await store.open()
    for collection in Collection:
        assert await store.entries(collection) == [replace(ENTRY, id=collection.value)]
    assert await store.keys() == [KEY]
    assert not _is_there(journal)
    assert _is_there(journal.with_name("operations.sqlite3.imported"))
    await store.save(Collection.OPERATIONS, replace(ENTRY, id="two", sequence=4))


async def test_a_database_that_was_written_to_keeps_what_it_has(
    make: Make, journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where nothing is left of it: somebody else has used it."""
    first = make()
    await first.open()
    await first.save(Collection.EVENTS, ENTRY)
    await first.forget(Collection.EVENTS, [ENTRY.id])
    await first.close()
    store = make(journal=journal)
    await store.open()
    assert await store.entries(Collection.OPERATIONS) == []
    assert _is_there(journal)
    assert f"{journal} is not read" in caplog.text


async def test_a_journal_is_refused_while_another_server_leads_an_empty_database(make: Make, journal: Path) -> None:
    first, second = make("one"), make("two", journal=journal, rules=QUICK)
    await first.open()
    with pytest.raises(StoreError, match="is empty, and one leads"):
        await second.open()
    assert await first.entries(Collection.OPERATIONS) == []
    assert _is_there(journal)


async def test_a_journal_waits_for_the_lease_of_a_server_that_was_killed_while_it_was_being_read(
    make: Make, journal: Path, database: str
) -> None:
    first = make("one")
    await first.open()
    await first.close()
    with psycopg.connect(database) as connection:
        connection.execute(
            "UPDATE exo_graphql_leases SET holder = 'killed', seconds = 0.6, "
            "expires_at = clock_timestamp() + interval '0.6 s'"
        )
    again = make("one", journal=journal)
    await again.open()
    assert await again.keys() == [KEY]
    assert not _is_there(journal)


async def test_a_journal_of_a_newer_version_is_refused(make: Make, journal: Path) -> None:
    with closing(sqlite3.connect(journal)) as db:
        db.execute("PRAGMA user_version = 1000")
    with pytest.raises(StoreError, match="newer version of exo-graphql"):
        await make(journal=journal).open()
    assert _is_there(journal)


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
async def test_a_damaged_journal_is_refused_and_left_as_it_is(make: Make, journal: Path, content: bytes) -> None:
    _damage(journal, content)
    with pytest.raises(StoreError, match=r"cannot be read: The database cannot be used: .*move it away"):
        await make(journal=journal).open()
    assert _files(journal)[journal.name] == content
    assert not any("damaged" in name for name in _files(journal))


async def test_a_journal_that_another_server_uses_is_refused(make: Make, journal: Path) -> None:
    other = SQLiteStore(journal)
    await other.open()
    with pytest.raises(StoreError, match="another server uses it"):
        await make(journal=journal).open()
    await other.close()


async def test_a_journal_that_cannot_be_written_whole_leaves_nothing_behind(
    make: Make, journal: Path, database: str
) -> None:
    first = make()
    await first.open()
    await first.close()
    with psycopg.connect(database) as connection:
        connection.execute("ALTER TABLE exo_graphql_keys ADD CONSTRAINT never CHECK (key <> 'nightly')")
    with pytest.raises(StoreError, match="never"):
        await make(journal=journal).open()
    assert _is_there(journal)
    with psycopg.connect(database) as connection:
        connection.execute("ALTER TABLE exo_graphql_keys DROP CONSTRAINT never")
    store = make(journal=journal)
    await store.open()
    assert await store.entries(Collection.EVENTS) == [replace(ENTRY, id="events")]
