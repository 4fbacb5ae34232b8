"""Recordings of a real exo, replayed at their own pace and latency: what the poller sees of them, and how soon."""

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import orjson
import pytest

from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.exo.parse import read_state
from exo_graphql.exo.poller import Poller
from tests.support.polled_cluster import CHEAP, START, loop_moment

pytestmark = pytest.mark.anyio

RECORDINGS = Path(__file__).parent.parent / "data" / "recordings"
COST = 0.039
BEGINS = 5.0
"""When the recording begins, by the loop's clock: the poller reads at the normal pace by then."""


class Recording:
    """An exo that replays a recording."""

    def __init__(self, name: str, cost: float = COST, *, begins: float = BEGINS, has_paths: bool = False) -> None:
        """A whole state takes `cost` seconds; where `has_paths`, the runners alone take a fifth of that."""
        self.cost = cost
        self.spent = 0.0
        """Seconds that reading has taken."""
        self._has_paths = has_paths
        frames: list[dict[str, Any]] = json.loads(gzip.decompress((RECORDINGS / f"{name}.json.gz").read_bytes()))
        self.documents = [frame["state"] for frame in frames]
        self.times = [begins + frame["t"] - frames[0]["t"] for frame in frames]

    async def answer(self, request: httpx.Request) -> httpx.Response:
        is_cheap = self._has_paths and request.url.path == "/state/runners"
        if request.url.path != "/state" and not is_cheap:
            return httpx.Response(404, json={"detail": "Not Found"})
        # exo takes the state, and then its time to write it down: the worse of the two orders for the reader.
        now = asyncio.get_running_loop().time()
        current = sum(time <= now for time in self.times[1:])
        body = orjson.dumps(self.documents[current]["runners"] if is_cheap else self.documents[current])
        cost = self.cost * CHEAP if is_cheap else self.cost
        self.spent += cost
        await asyncio.sleep(cost)
        return httpx.Response(200, content=body)

    def truth(self, summary: Callable[[Snapshot], object]) -> list[tuple[float, object]]:
        """The summary of each state, each time it changed, as if every state were read at once."""
        changes: list[tuple[float, object]] = []
        snapshot = None
        for time, document in zip(self.times, self.documents, strict=True):
            snapshot, _ = advance(snapshot, read_state(document), Moment(START, 0.0), Source("http://exo"))
            assert snapshot is not None
            if not changes or changes[-1][1] != summary(snapshot):
                changes.append((time, summary(snapshot)))
        return changes


async def watched(recording: Recording, summary: Callable[[Snapshot], object]) -> list[tuple[float, object]]:
    """The summary of each snapshot of the poller, each time it changed, and when."""
    changes: list[tuple[float, object]] = []
    loop = asyncio.get_running_loop()

    def look(snapshot: Snapshot) -> None:
        if not changes or changes[-1][1] != summary(snapshot):
            changes.append((loop.time(), summary(snapshot)))

    poller = Poller(["http://exo"], transport=httpx.MockTransport(recording.answer), now=loop_moment)
    async with poller:
        with poller.subscriber(), poller.listen(look):
            await asyncio.sleep(recording.times[-1] + 3.0 - loop.time())
    return changes


@pytest.mark.parametrize(
    ("name", "model"), [("10-place-load-ready", "rig/tiny-llama-a"), ("61-two-node-pipeline", "rig/tiny-llama-a")]
)
async def test_a_load_is_followed_closely(name: str, model: str) -> None:
    def summary(snapshot: Snapshot) -> object:
        status = snapshot.status(model)
        return status.phase, status.progress_percent

    recording = Recording(name)
    truth = recording.truth(summary)
    changes = await watched(recording, summary)
    assert changes[-1][1] == truth[-1][1]
    # Every step that is published is a true one, in its order. Those too short to be seen are passed over.
    delays = []
    steps = iter(truth)
    for time, step in changes:
        happened = next(at for at, true in steps if true == step)
        delays.append(time - happened)
    assert len(changes) >= len(truth) * 0.8
    # The first is from before the recording; the next is noticed at the normal pace, the others at the fast one.
    assert delays[1] <= 1.0 + 2 * COST
    assert median(delays[2:]) <= 0.2
    assert max(delays[2:]) <= 0.3
    phases = list(dict.fromkeys(step[0] for _, step in truth if isinstance(step, tuple)))
    assert phases[-1] is Phase.READY
    assert list(dict.fromkeys(step[0] for _, step in changes if isinstance(step, tuple))) == phases


@pytest.mark.parametrize(("cost", "soon"), [(0.01, 0.06), (0.039, 0.10), (0.1, 0.25), (0.2, 0.40), (0.5, 1.0)])
async def test_readiness_is_known_soon_whatever_a_state_costs(cost: float, soon: float) -> None:
    def summary(snapshot: Snapshot) -> object:
        return snapshot.status("rig/tiny-llama-a").ready

    delays = []
    for name in ("10-place-load-ready", "61-two-node-pipeline"):
        for turn in range(6):
            begins = asyncio.get_running_loop().time() + BEGINS + 0.37 * turn
            recording = Recording(name, cost, begins=begins, has_paths=True)
            (happened,) = [at for at, ready in recording.truth(summary) if ready]
            seen = await watched(recording, summary)
            (known,) = [at for at, ready in seen if ready]
            delays.append(known - happened)
            assert recording.spent <= 0.15 * 60
    assert median(delays) <= soon, delays


async def test_the_loss_of_a_master_is_seen_as_a_stale_snapshot_and_then_as_it_is() -> None:
    def summary(snapshot: Snapshot) -> object:
        return snapshot.connected, snapshot.stale, snapshot.loaded_model_count

    recording = Recording("72-kill9-master-n3")
    changes = await watched(recording, summary)
    assert [what for _, what in changes] == [(True, False, 1), (True, True, 1), (True, False, 0)]
