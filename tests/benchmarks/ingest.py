"""Ingest: from the bytes of a state to its snapshot, against decoding alone, and what it keeps others waiting for."""

import asyncio
import gc
from collections.abc import Callable
from time import perf_counter
from typing import Any

import orjson

from exo_graphql import clock
from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.exo.parse import StateReader
from tests.benchmarks.figures import Row
from tests.benchmarks.scenario import multiplied

NODES = (4, 32, 128)
_SOURCE = Source("http://exo", "the-node")


def measure(bodies: list[bytes], turns: int) -> list[Row]:
    """The rows of the ingest. Each size is read `turns` times, by turns with decoding alone."""
    states = {nodes: [multiplied(body, nodes // NODES[0]) for body in bodies[:4]] for nodes in NODES}
    at_rest = {nodes: [_moved(some[0], turn) for turn in range(4)] for nodes, some in states.items()}
    telemetry = {nodes: [_moved(some[0], turn, telemetry=True) for turn in range(4)] for nodes, some in states.items()}
    return [
        _ratio("ingest at rest", "index and `lastSeen` have moved", 0.15, at_rest, turns),
        _ratio("ingest, telemetry", "memory, GPU and temperature of every node too", 0.3, telemetry, turns),
        _ratio("ingest, downloads", "and every fourth node downloads", 0.6, states, turns),
        _longest_hold(states[NODES[-1]]),
    ]


class Reading:
    """Reads states as the server does, and makes snapshots of them."""

    def __init__(self) -> None:
        self._reader = StateReader()
        self._snapshot: Snapshot | None = None

    def read(self, body: bytes) -> None:
        """Without pauses."""
        self._snapshot, _ = advance(self._snapshot, self._reader.parse(body), clock.now(), _SOURCE)

    async def read_in_steps(self, body: bytes) -> None:
        """With them."""
        self._snapshot, _ = advance(self._snapshot, await self._reader.read(body), clock.now(), _SOURCE)


def _moved(body: bytes, turn: int, *, telemetry: bool = False) -> bytes:
    """The same cluster a little later."""
    state: dict[str, Any] = orjson.loads(body)
    state["lastEventAppliedIdx"] += turn
    for number, node in enumerate(state["lastSeen"]):
        state["lastSeen"][node] = f"2026-06-22T12:00:{turn:02}.{number:06}Z"
        if telemetry:
            state["nodeMemory"][node]["ramAvailable"]["inBytes"] -= 4096 * (turn + number)
            state["nodeSystem"].setdefault(node, {}).update(gpuUsage=0.01 * turn, temp=40.5 + turn)
    return orjson.dumps(state)


def _ratio(name: str, what: str, goal: float, states: dict[int, list[bytes]], turns: int) -> Row:
    """A row for 32 nodes; the other sizes are in its detail."""
    ratios, milliseconds, cold = {}, {}, {}
    for nodes, some in states.items():
        reading = Reading()
        cold[nodes] = _seconds(reading.read, some[0]) * 1e3
        for body in some[1:]:
            reading.read(body)
        taken = [(_seconds(reading.read, body), _seconds(orjson.loads, body)) for body in some * turns]
        # The quickest of each: what else the machine does only ever adds.
        whole, part = (min(column) for column in zip(*taken, strict=True))
        ratios[nodes], milliseconds[nodes] = whole / part, whole * 1e3
    detail = "; ".join(f"{nodes} nodes {milliseconds[nodes]:.1f} ms ({ratios[nodes]:.2f} times)" for nodes in states)
    raw = {"ratios": ratios, "milliseconds": milliseconds, "cold_milliseconds": cold}
    met = ratios[32] <= goal
    return Row(name, f"{ratios[32]:.2f} times", f"≤ {goal:g} times decoding", met, f"{what}: {detail}", raw)


def _longest_hold(bodies: list[bytes]) -> Row:
    """How long the largest cluster's reads keep every other task waiting, the very first one included."""

    async def holds() -> list[float]:
        longest: list[float] = []
        before = perf_counter()

        async def others() -> None:
            nonlocal before
            while True:
                now = perf_counter()
                longest[-1] = max(longest[-1], now - before)
                before = now
                await asyncio.sleep(0)

        reading = Reading()
        longest.append(0.0)
        watching = asyncio.create_task(others())
        await asyncio.sleep(0)
        for body in bodies * 3:
            gc.collect()
            longest.append(0.0)
            before = perf_counter()
            await reading.read_in_steps(body)
            await asyncio.sleep(0)
        watching.cancel()
        return [seconds * 1e3 for seconds in longest[1:]]

    found = asyncio.run(holds())
    cold, warm = found[0], max(found[len(bodies) :])
    detail = f"{NODES[-1]} nodes, {len(bodies[0]) / 1e6:.0f} MB; the first read, and the longest of the others"
    met = max(cold, warm) <= 30
    return Row("ingest, held up", f"{cold:.0f} ms; {warm:.0f} ms", "≤ 30 ms", met, detail, {"milliseconds": found})


def _seconds(work: Callable[[bytes], object], body: bytes) -> float:
    gc.collect()
    began = perf_counter()
    work(body)
    return perf_counter() - began
