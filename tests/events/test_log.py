"""The log of events: what is kept, found, acknowledged and forgotten, also when the disk fails for a while."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exo_graphql.events import EventKind, Occurrence, Severity, log, published
from exo_graphql.events.filter import Filter
from exo_graphql.events.log import EventLog
from exo_graphql.storage import Collection, Entry, StoreError
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.running import until

pytestmark = pytest.mark.anyio
START = datetime(2026, 6, 22, 12, tzinfo=UTC)


def lost(model: str = "test/a", node: str = "n1", *, info: bool = False) -> Occurrence:
    return Occurrence(
        kind=EventKind.MODEL_UNLOADED if info else EventKind.MODEL_LOST,
        severity=Severity.INFO if info else Severity.ERROR,
        message=f"Model {model} was lost.",
        model_id=model,
        node_id=node,
        node_name=f"mac-{node}",
    )


class Clock:
    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at


@asynccontextmanager
async def kept(path: Path | None = None, clock: Clock | None = None, max_count: int = 100) -> AsyncIterator[EventLog]:
    """A log over a store of its own."""
    store = SQLiteStore(path)
    await store.open()
    try:
        async with EventLog(store, now=clock or Clock(), max_count=max_count) as events:
            yield events
    finally:
        await store.close()


def models(found: tuple[object, ...] | None) -> list[str | None]:
    assert found is not None
    return [event.model_id for event in found]  # type: ignore[attr-defined]


async def test_events_are_found_newest_first_and_by_what_is_asked() -> None:
    clock = Clock()
    async with kept(clock=clock) as events:
        events.record([lost("test/a"), lost("test/b", "n2")])
        clock.at += timedelta(seconds=5)
        events.record([lost("test/a", info=True)])
        assert models(events.newest(10)) == ["test/a", "test/b", "test/a"]
        assert models(events.newest(2)) == ["test/a", "test/b"]
        assert len(events.newest(10, Filter(model_id="test/a")) or ()) == 2
        assert models(events.newest(10, Filter(nodes=["mac-n2"]))) == ["test/b"]
        assert models(events.newest(10, Filter(severities=[Severity.ERROR]))) == ["test/b", "test/a"]
        assert models(events.newest(10, Filter(kinds=[EventKind.MODEL_UNLOADED]))) == ["test/a"]
        assert len(events.newest(10, Filter(since=START + timedelta(seconds=1))) or ()) == 1


async def test_events_outlive_a_restart_and_go_on_being_numbered(tmp_path: Path) -> None:
    path = tmp_path / "store"
    async with kept(path) as events:
        events.record([lost("test/a"), lost("test/b")])
    async with kept(path) as events:
        events.record([lost("test/c")])
        found = events.newest(10)
        assert found is not None
        assert [(event.id, event.model_id) for event in found] == [
            ("event-3", "test/c"),
            ("event-2", "test/b"),
            ("event-1", "test/a"),
        ]


async def test_older_events_than_those_in_memory_are_read_from_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "IN_MEMORY", 3)
    monkeypatch.setattr(published, "BATCH", 2)
    async with kept() as events:
        events.record([lost(f"test/{number}") for number in range(10)])
        assert models(events.newest(2)) == ["test/9", "test/8"]
        assert events.newest(5) is None
        assert models(await events.stored(5)) == [f"test/{number}" for number in (9, 8, 7, 6, 5)]
        assert models(await events.stored(5, Filter(model_id="test/1"))) == ["test/1"]
        seen = await events.acknowledge("event-2")
        assert seen is not None
        assert seen.model_id == "test/1"
        assert models(await events.stored(99)) == [f"test/{number}" for number in reversed(range(10))]


async def test_an_acknowledgement_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "store"
    async with kept(path) as events:
        events.record([lost("test/a"), lost("test/b")])
        version = events.version
        seen = await events.acknowledge("event-1")
        assert seen is not None
        assert seen.acknowledged_at == START
        assert events.version > version
        assert await events.acknowledge("event-1") == seen
        assert [await events.acknowledge(id_) for id_ in ("event-7", "nothing", "event-", "event-²")] == [None] * 4
    async with kept(path) as events:
        assert [event.acknowledged_at for event in events.newest(2) or ()] == [None, START]


async def test_listeners_get_each_event_once_whatever_one_of_them_does() -> None:
    got: list[str | None] = []
    async with kept() as events:

        def fails(_: object) -> None:
            raise RuntimeError

        with events.listen(fails), events.listen(lambda event: got.append(event.model_id)):
            events.record([lost("test/a"), lost("test/b")])
        events.record([lost("test/c")])
    assert got == ["test/a", "test/b"]


class FullDisk(SQLiteStore):
    """A store that refuses to write for a while."""

    full = False

    async def append(self, collection: Collection, entries: Sequence[Entry]) -> None:
        if self.full:
            raise StoreError("The disk is full.")
        await super().append(collection, entries)


async def test_events_wait_for_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "RETRY_AFTER", 0.01)
    store = FullDisk(tmp_path / "store")
    await store.open()
    async with EventLog(store, now=Clock()) as events:
        store.full = True
        events.record([lost("test/a")])
        await asyncio.sleep(0.05)
        events.record([lost("test/b")])
        assert models(events.newest(2)) == ["test/b", "test/a"]
        assert await store.entries(Collection.EVENTS) == []
        store.full = False
        await until(lambda: not events._unwritten)
        assert [entry.id for entry in await store.entries(Collection.EVENTS)] == ["event-1", "event-2"]
    await store.close()


class SlowDisk(SQLiteStore):
    """A store whose first write is done, and reported as failed."""

    failed = False

    async def append(self, collection: Collection, entries: Sequence[Entry]) -> None:
        await super().append(collection, entries)
        if not self.failed:
            self.failed = True
            raise StoreError("The database did not answer within 10 s.")


async def test_events_that_a_slow_disk_wrote_after_all_are_kept_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "RETRY_AFTER", 0.01)
    store = SlowDisk(tmp_path / "store")
    await store.open()
    async with EventLog(store, now=Clock()) as events:
        events.record([lost("test/a")])
        await until(lambda: store.failed)
        events.record([lost("test/b")])
        await until(lambda: not events._unwritten)
        assert [entry.id for entry in await store.entries(Collection.EVENTS)] == ["event-1", "event-2"]
    await store.close()


async def test_old_events_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "BATCH", 2)
    clock = Clock()
    async with kept(tmp_path / "by age", clock) as events:
        events.record([lost(f"test/{number}") for number in range(5)])
        clock.at += timedelta(days=20)
        events.record([lost("test/new")])
        clock.at += timedelta(days=11)
        await events._write_waiting()
        await events._forget()
        assert [entry.id for entry in await events._store.entries(Collection.EVENTS)] == ["event-6"]
    async with kept(tmp_path / "by number", max_count=3) as events:
        events.record([lost(f"test/{number}") for number in range(8)])
        await events._write_waiting()
        await events._forget()
        assert [entry.sequence for entry in await events._store.entries(Collection.EVENTS)] == [6, 7, 8]
        assert [event.sequence for event in events.in_memory] == [6, 7, 8]
        assert await events.stored(10) == tuple(reversed(events.in_memory))


async def test_of_many_events_few_are_read_to_forget_the_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, reads = Clock(), 0
    newest = SQLiteStore.newest

    async def counting(*arguments: Any) -> list[Entry]:
        nonlocal reads
        reads += 1
        return await newest(*arguments)

    for old in (0, 1, 700, 998, 999, 1000):
        async with kept(clock=clock, max_count=10_000) as events:
            events.record([lost()] * old)
            clock.at += timedelta(days=31)
            events.record([lost()] * (1000 - old))
            await events._write_waiting()
            # One that cannot be read, as of a newer version, is in the way.
            await events._store.save(Collection.EVENTS, Entry(500, "event-500", active=False, record=b"{}"))
            with monkeypatch.context() as patched:
                patched.setattr(SQLiteStore, "newest", counting)
                reads = 0
                await events._forget()
                assert reads <= 25, "the writer may do the same at this moment"
            left = [entry.sequence for entry in await events._store.entries(Collection.EVENTS)]
            assert left == list(range(min(old, 999) + 1, 1001))


async def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "store"
    async with kept(path) as events:
        events.record([lost("test/a")])
    store = SQLiteStore(path)
    await store.open()
    await store.append(Collection.EVENTS, [Entry(2, "event-2", active=False, record=b'{"kind": "OF_TOMORROW"}')])
    await store.close()
    async with kept(path) as events:
        events.record([lost("test/c")])
        assert [event.id for event in events.newest(9) or ()] == ["event-3", "event-1"]


async def test_a_loss_is_open_until_somebody_deals_with_it_or_an_hour_has_passed() -> None:
    clock = Clock()
    ready = replace(lost("test/b", info=True), kind=EventKind.MODEL_READY)
    async with kept(clock=clock) as events:
        events.record(
            [lost("test/a"), lost("test/b"), lost("test/c"), replace(lost("test/d"), severity=Severity.WARNING)]
        )
        assert models(events.open_losses()) == ["test/a", "test/b", "test/c"]
        events.record([ready, lost("test/c", info=True)])
        assert models(events.open_losses()) == ["test/a"]
        seen: list[bool] = []
        events.on_acknowledged = lambda: seen.append(True)
        await events.acknowledge("event-1")
        assert seen == [True]
        assert events.open_losses() == ()
        events.record([lost("test/a")])
        clock.at += timedelta(minutes=59)
        assert models(events.open_losses()) == ["test/a"]
        clock.at += timedelta(minutes=1)
        assert events.open_losses() == ()


async def test_an_id_never_names_two_events_although_all_are_forgotten(tmp_path: Path) -> None:
    path, clock = tmp_path / "store", Clock()
    async with kept(path, clock) as events:
        events.record([lost("test/a"), lost("test/b")])
        await events._write_waiting()
        clock.at += timedelta(days=31)
        await events._forget()
    async with kept(path, clock) as events:
        events.record([lost("test/c")])
        assert events.in_memory[-1].id == "event-3"
