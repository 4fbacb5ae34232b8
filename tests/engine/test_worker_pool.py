"""Work on threads: its result, its error, its bound, and what becomes of it when its caller leaves."""

import asyncio
import threading
import time

import pytest

from exo_graphql.engine.documents import PROVED_AT_ONCE, Documents
from exo_graphql.engine.worker_pool import GivenUp, Overloaded, Waiter, WorkerPool
from exo_graphql.schema.build import build_schema
from tests.support.running import until

pytestmark = pytest.mark.anyio


async def test_what_a_thread_returns_or_raises_reaches_the_caller() -> None:
    worker_pool = WorkerPool()
    assert await worker_pool.run(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await worker_pool.run(lambda: 1 // 0)
    await until(lambda: worker_pool.under_way == 0)
    worker_pool.close()


async def test_more_than_the_queue_may_cost_is_refused_at_once_and_place_is_made_again() -> None:
    worker_pool = WorkerPool(threads=1, max_cost=100)
    gate = threading.Event()
    running, queued = (asyncio.create_task(worker_pool.run(gate.wait, 45)) for _ in range(2))
    await until(lambda: worker_pool.under_way == 2)
    with pytest.raises(Overloaded) as refused:
        await worker_pool.run(gate.wait, 11)
    assert refused.value.extensions
    assert refused.value.extensions["code"] == "OVERLOADED"
    assert (refused.value.extensions["limit"], refused.value.extensions["value"]) == ("max_waiting_cost", 100)
    cheap = asyncio.create_task(worker_pool.run(gate.wait, 10))
    await until(lambda: worker_pool.cost == 100)
    gate.set()
    assert [await each for each in (running, queued, cheap)] == [True] * 3
    await until(lambda: worker_pool.under_way == 0)
    assert worker_pool.cost == 0
    worker_pool.close()


async def test_an_idle_pool_accepts_work_of_any_cost() -> None:
    worker_pool = WorkerPool(threads=1, max_cost=100)
    assert await worker_pool.run(lambda: 7, 1000) == 7
    worker_pool.close()


async def test_work_that_has_begun_learns_that_its_caller_has_left() -> None:
    worker_pool = WorkerPool(threads=1)
    waiter, begun = Waiter(), threading.Event()
    ends: list[str] = []

    def work() -> None:
        begun.set()
        ends_at = time.monotonic() + 5
        try:
            while time.monotonic() < ends_at:
                waiter.check()
        except GivenUp:
            ends.append("given up")

    running = asyncio.create_task(worker_pool.run(work, 1, waiter))
    await until(begun.is_set)
    running.cancel()
    await asyncio.wait([running])
    await until(lambda: worker_pool.under_way == 0)
    assert ends == ["given up"]
    worker_pool.close()


async def test_work_that_has_not_begun_goes_with_its_caller() -> None:
    worker_pool = WorkerPool(threads=1)
    gate, done = threading.Event(), []
    running = asyncio.create_task(worker_pool.run(gate.wait))
    queued = asyncio.create_task(worker_pool.run(lambda: done.append(1)))
    await until(lambda: worker_pool.under_way == 2)
    queued.cancel()
    await asyncio.wait([queued])
    await until(lambda: worker_pool.under_way == 1)
    gate.set()
    await running
    assert done == []
    worker_pool.close()


async def test_a_long_text_that_many_send_at_once_is_parsed_once_and_on_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker_pool = WorkerPool()
    documents = Documents(build_schema(), worker_pool=worker_pool)
    readers = []
    read = documents._read

    def counting(source: str) -> object:
        readers.append(threading.get_ident())
        return read(source)

    monkeypatch.setattr(documents, "_read", counting)
    long = "{ nodes { id } } #" + "." * PROVED_AT_ONCE
    found = await asyncio.gather(*(documents.get(long) for _ in range(20)))
    assert len(set(map(id, found))) == 1
    assert len(readers) == 1
    assert readers[0] != threading.get_ident()
    assert await documents.get(long) is found[0]
    for _ in range(2):  # at its first sight it is read by a parser of its own
        await documents.get("{ nodes { id } }")
    assert readers[1] == threading.get_ident()
    worker_pool.close()


async def test_when_the_first_reader_of_a_text_leaves_another_reads_it() -> None:
    worker_pool = WorkerPool(threads=1)
    documents = Documents(build_schema(), worker_pool=worker_pool)
    gate = threading.Event()
    blocking = asyncio.create_task(worker_pool.run(gate.wait))
    long = "{ nodes { id } } #" + "." * PROVED_AT_ONCE
    first, second = (asyncio.create_task(documents.get(long)) for _ in range(2))
    await until(lambda: worker_pool.under_way == 2)
    first.cancel()
    await asyncio.wait([first])
    gate.set()
    assert (await second).errors == ()
    await blocking
    worker_pool.close()
