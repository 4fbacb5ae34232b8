"""Ten thousand watchers of one process: of a hundred texts, and of ten thousand different variables."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles

from tests.benchmarks.fanout import FIRST
from tests.benchmarks.figures import Row
from tests.benchmarks.processes import SERVER_CORE, free_port, serving
from tests.benchmarks.scenario import LIVE
from tests.benchmarks.subscribers import Request, subscribed
from tests.benchmarks.throughput import replaying

WATCHERS = 10_000
TEXTS = 100
PACE = 1.0
"""Seconds between two states."""

_TEXTS: list[Request] = [
    {"query": LIVE.replace("nodeCount", f"count{number % TEXTS}: nodeCount")} for number in range(WATCHERS)
]
_DISTINCT = LIVE.replace("subscription", "subscription ($ended: Int)").replace(
    "nodeCount", "nodeCount operations(ended: $ended) { id }"
)
_VARIABLES: list[Request] = [{"query": _DISTINCT, "variables": {"ended": number}} for number in range(WATCHERS)]


def measure(states: Path, seconds: float) -> list[Row]:
    """The rows of many watchers: the state changes once a second for `seconds`."""
    return [
        _row("watchers of 100 texts", _TEXTS, states, seconds, max_delay=0.5, max_memory=500),
        _row("distinct live queries", _VARIABLES, states, seconds, max_delay=1.5, max_memory=None),
    ]


def _row(
    name: str, requests: Sequence[Request], states: Path, seconds: float, *, max_delay: float, max_memory: int | None
) -> Row:
    with ExitStack() as stack:
        exo = stack.enter_context(replaying(states, PACE))
        port = free_port()
        command = ["-m", "tests.benchmarks.ours", str(port), exo.url(""), str(PACE)]
        server = stack.enter_context(serving(command, port, FIRST, SERVER_CORE))

        async def listen() -> tuple[list[float], float, int]:
            async with subscribed(port, requests) as received:
                await asyncio.sleep(2)
                received.arrivals.clear()
                messages, cpu = received.messages, server.cpu_seconds
                await asyncio.sleep(seconds)
                return received.delays(len(requests)), server.cpu_seconds - cpu, received.messages - messages

        delays, cpu, count = asyncio.run(listen())
        memory = server.memory_mb
    p99 = quantiles(delays, n=100, method="inclusive")[-1] if len(delays) > 1 else float("inf")
    met = p99 <= max_delay and (max_memory is None or memory <= max_memory)
    goal = f"≤ {max_delay * 1e3:.0f} ms" + ("" if max_memory is None else f"; ≤ {max_memory} MB")
    detail = f"{len(delays)} states, {count / seconds:,.0f} messages/s, {cpu / max(count, 1) * 1e6:.0f} µs each"
    raw = {"p99_seconds": p99, "delays": delays, "memory_mb": memory, "messages": count, "cpu_seconds": cpu}
    return Row(name, f"{p99 * 1e3:.0f} ms; {memory:.0f} MB", goal, met, detail, raw)
