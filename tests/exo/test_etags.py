"""An exo that sends ETags: an unchanged state is neither sent nor parsed again, but operations read it whole."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import orjson
import pytest

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import State
from exo_graphql.exo import conditional_reader
from exo_graphql.exo.parse import StateReader
from exo_graphql.exo.poller import Poller
from tests.support.documents import MODEL, completed, document, instance, runner
from tests.support.polled_cluster import loop_moment

pytestmark = pytest.mark.anyio


class Exo:
    """As in a branch of exo: the ETag is the index of the last event."""

    def __init__(self) -> None:
        self.index = 10
        self.ready = True
        self.answers: list[int] = []

    async def answer(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.02)
        if request.url.path != "/state":
            return httpx.Response(404, json={"detail": "Not Found"})
        etag = f'"{self.index}"'
        if request.headers.get("if-none-match") == etag:
            self.answers.append(304)
            return httpx.Response(304, headers={"etag": etag})
        self.answers.append(200)
        runners = {"r1": runner("Ready", prefillServerPort=None)} if self.ready else {}
        state = document(["n1"], [instance("i1", {"n1": "r1"})], runners, {"n1": [completed()]}, index=self.index)
        return httpx.Response(200, content=orjson.dumps(state), headers={"etag": etag})


@asynccontextmanager
async def reading(exo: Exo) -> AsyncIterator[Poller]:
    async with Poller(["http://exo"], transport=httpx.MockTransport(exo.answer), now=loop_moment) as poller:
        await poller.fresh()
        yield poller


async def until(poller: Poller, holds: Callable[[Snapshot], bool]) -> Snapshot:
    snapshot = await poller.changed(None)
    while not holds(snapshot):
        snapshot = await poller.changed(snapshot)
    return snapshot


async def test_an_unchanged_state_is_not_sent_again_and_counts_as_read() -> None:
    exo = Exo()
    async with reading(exo) as poller:
        first = poller.snapshot
        assert first is not None
        with poller.subscriber():
            second = await poller.changed(await poller.changed(first))
        assert exo.answers == [200, 304, 304]
        assert second.state is first.state
        assert second.observed_at > first.observed_at
        assert (second.connected, second.stale, second.version) == (True, False, first.version)
        assert (poller.stats.reads, poller.stats.failures) == (3, 0)
        exo.index += 1
        with poller.subscriber():
            moved = await poller.changed(second)
        assert exo.answers[-1] == 200
        assert moved.state.index == 11


async def test_what_an_operation_acts_upon_is_read_whole() -> None:
    exo = Exo()
    async with reading(exo) as poller:
        assert poller.snapshot is not None
        # Another session of exo has reached the same index.
        exo.ready = False
        assert not (await poller.read_now()).status(MODEL).ready
        assert 304 not in exo.answers


async def test_another_session_at_the_same_index_is_not_hidden_for_long() -> None:
    exo = Exo()
    async with reading(exo) as poller:
        exo.ready = False
        with poller.subscriber():
            begun = asyncio.get_running_loop().time()
            await until(poller, lambda snapshot: not snapshot.status(MODEL).ready)
            assert asyncio.get_running_loop().time() - begun <= conditional_reader.KNOWN_LASTS + 1.1


async def test_a_304_means_that_nothing_changed_so_it_shows_a_hung_master() -> None:
    exo = Exo()
    async with reading(exo) as poller:
        begun = asyncio.get_running_loop().time()
        with poller.subscriber():
            stale = await until(poller, lambda snapshot: snapshot.stale)
            assert stale.connected
            assert 15.0 <= asyncio.get_running_loop().time() - begun <= 17.0
            exo.index += 1
            await until(poller, lambda snapshot: not snapshot.stale)


async def test_after_a_failure_the_state_is_read_whole() -> None:
    exo = Exo()
    async with reading(exo) as poller:
        exo.answers.clear()
        fails = True

        async def answer(request: httpx.Request) -> httpx.Response:
            nonlocal fails
            if fails and request.url.path == "/state":
                fails = False
                return httpx.Response(500)
            return await exo.answer(request)

        poller._endpoints.current.client._transport = httpx.MockTransport(answer)
        with poller.subscriber():
            await poller.changed(poller.snapshot)
        assert exo.answers == [200]


async def test_an_unchanged_state_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = 0

    async def counted(reader: StateReader, body: bytes) -> State:
        nonlocal parsed
        parsed += 1
        return reader.parse(body)

    monkeypatch.setattr(StateReader, "read", counted)
    exo = Exo()
    async with reading(exo) as poller:
        with poller.subscriber():
            await asyncio.sleep(5)
    assert parsed == 1
    assert exo.answers.count(304) >= 4
