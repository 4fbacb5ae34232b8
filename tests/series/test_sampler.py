"""The sampler in virtual time: what it stores, reads again after a restart, and what it does where the store fails."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path

import pytest

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.series import Series
from exo_graphql.series.sampler import WAITING, Sampler
from exo_graphql.storage import Collection, Entry, Store, StoreError
from exo_graphql.storage.sqlite import SQLiteStore
from tests.series.reported import node, snapshot
from tests.support.polled_cluster import loop_moment
from tests.support.threaded_time import ThreadedTimeLoop

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": ThreadedTimeLoop}


def _now() -> Snapshot:
    return snapshot(loop_moment(), node("a", "studio", 10.0))


@asynccontextmanager
async def sampling(
    store: Store, read: Callable[[], Snapshot | None] = _now, *, killed: bool = False
) -> AsyncIterator[Series]:
    """One process. `killed`: it writes nothing at its end."""
    await store.open()
    series = Series(loop_moment())
    sampler = Sampler(series, store, snapshot=read, now=loop_moment)
    await sampler.__aenter__()
    try:
        await sampler.restored()
        yield series
    finally:
        if killed:
            sampler._waiting.clear()
            sampler._restored.clear()
        await sampler.__aexit__()
        await store.close()


def _minutes(series: Series, node_id: str = "a", minutes: int = 10) -> Sequence[float | None]:
    return series.of_node(node_id, 1440, 1440).power_watts[-minutes:]


@pytest.mark.parametrize(("killed", "lost"), [(False, 0), (True, 1)])
async def test_the_minutes_are_there_after_a_restart(tmp_path: Path, killed: bool, lost: int) -> None:
    path = tmp_path / "operations.sqlite3"
    async with sampling(SQLiteStore(path), killed=killed):
        await asyncio.sleep(5 * 60 + 32)
    await asyncio.sleep(2 * 60)
    async with sampling(SQLiteStore(path)) as series:
        await asyncio.sleep(60)
        # Six minutes, of which a process that was killed lost the last one; a gap; the two of the new process.
        assert _minutes(series, minutes=9) == [*[10.0] * (6 - lost), *[None] * (1 + lost), 10.0, 10.0]
        assert series.of_node("a", 43_200, 1440).power_watts[-1] == 10.0


async def test_a_state_that_does_not_come_is_a_gap_and_the_sampler_survives_one_that_it_cannot_read() -> None:
    given: list[Snapshot | None] = []

    def read() -> Snapshot | None:
        if loop_moment().elapsed < 11:
            raise RuntimeError("a fault of ours")
        return given[0] if given else None

    async with sampling(SQLiteStore(None), read) as series:
        await asyncio.sleep(22)
        given.append(_now())
        await asyncio.sleep(9)
        assert series.of_node("a", 1, 12).power_watts[-7:] == [None] * 5 + [10.0, 10.0]
        await asyncio.sleep(30)
        assert series.of_node("a", 1, 12).power_watts[-6:] == [None] * 6


class FailingStore(SQLiteStore):
    """A disk that is full for a while."""

    failing = False

    async def save(self, collection: Collection, entry: Entry) -> None:
        if self.failing:
            raise StoreError("The disk is full.")
        await super().save(collection, entry)


async def test_what_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    path = tmp_path / "operations.sqlite3"
    store = FailingStore(path)
    async with sampling(store):
        store.failing = True
        await asyncio.sleep(5 * 60)
        store.failing = False
        await asyncio.sleep(2 * 60)
    async with sampling(SQLiteStore(path)) as series:
        await asyncio.sleep(5)
        assert _minutes(series, minutes=7) == [10.0] * 7


async def test_what_waits_to_be_written_is_bounded(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "operations.sqlite3")
    store.failing = True
    await store.open()
    sampler = Sampler(Series(loop_moment()), store, snapshot=_now, now=loop_moment)
    async with sampler:
        await asyncio.sleep((WAITING + 20) * 60)
        assert len(sampler._waiting) == WAITING
    await store.close()


async def test_what_is_older_than_thirty_days_is_deleted_and_what_cannot_be_read_left_out(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "operations.sqlite3")
    await store.open()
    start = int(loop_moment().at.timestamp())
    for age in (1, 30 * 144 - 2, 30 * 144 + 2):
        record = b'[[null,null,null,7.0,null],[["a","studio",[null,null,null,7.0,null]]]]'
        number = start // 600 - age
        await store.save(Collection.HISTORY_TEN_MINUTES, Entry(number, str(number), active=False, record=record))
    for number, record in ((start // 60 - 1, b"[[1.0],[]]"), (start // 60 - 2, b"\xff")):
        await store.save(Collection.HISTORY_MINUTES, Entry(number, str(number), active=False, record=record))
    async with sampling(store) as series:
        watts = series.of_node("a", 43_200, 1440).power_watts
        assert [watts[0], watts[-1], watts.count(7.0)] == [7.0, 7.0, 2]
        await asyncio.sleep(61 * 60)
        assert series.of_node("a", 43_200, 1440).power_watts[0] is None
        kept = await store.entries(Collection.HISTORY_TEN_MINUTES)
        assert min(entry.sequence for entry in kept) > start // 600 - 30 * 144


async def test_a_timer_that_is_a_little_early_leaves_out_no_sample() -> None:
    store, skews = SQLiteStore(None), cycle([0, 0, 0, -0.0005, 0.0005, 0.0005])

    def now() -> Moment:
        exact = loop_moment()
        return Moment(exact.at, exact.elapsed + next(skews))

    await store.open()
    series = Series(loop_moment())
    async with Sampler(series, store, snapshot=_now, now=now):
        await asyncio.sleep(61)
        assert series.of_node("a", 1, 12).power_watts == [10.0] * 12
    await store.close()
