"""Doing nothing: seconds until the first answer, and memory, of the 4-node demo."""

import asyncio
import time
from statistics import median

from tests.benchmarks.fanout import FIRST, SUBSCRIBERS
from tests.benchmarks.figures import Row
from tests.benchmarks.processes import OURS, SERVER_CORE, free_port, serving
from tests.benchmarks.scenario import LIVE
from tests.benchmarks.subscribers import subscribed


def measure(starts: int) -> Row:
    """The row of idleness. The median of `starts` starts, after one that is not counted."""
    seconds = [_start() for _ in range(starts + 1)][1:]
    alone, crowd = _memory()
    start = median(seconds)
    met = alone <= 80 and crowd <= 250 and start <= 0.7
    figure = f"{alone:.0f} MB; {crowd:.0f} MB; {start:.2f} s"
    detail = f"resident, the 4-node demo included; with {SUBSCRIBERS:,} subscribers; from the process's start"
    raw = {"resident_mb": alone, "resident_mb_with_subscribers": crowd, "seconds_to_first_answer": seconds}
    return Row("idle", figure, "≤ 80 MB; ≤ 250 MB; ≤ 0.7 s", met, detail, raw)


def _start() -> float:
    port = free_port()
    with serving([*OURS, "serve", "--demo", "--port", str(port)], port, FIRST, SERVER_CORE) as server:
        return server.seconds_to_answer


def _memory() -> tuple[float, float]:
    port = free_port()
    with serving([*OURS, "serve", "--demo", "--port", str(port)], port, FIRST, SERVER_CORE) as server:

        async def crowded() -> float:
            async with subscribed(port, [{"query": LIVE}] * SUBSCRIBERS):
                await asyncio.sleep(5)
                return server.resident_mb

        time.sleep(5)
        alone = server.resident_mb
        return alone, asyncio.run(crowded())
