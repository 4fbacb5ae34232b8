"""Upstream: what 500 clients cost exo through us, against one dashboard that reads the state once a second."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.fanout import FIRST
from tests.benchmarks.figures import Row
from tests.benchmarks.load import requests_per_second
from tests.benchmarks.processes import OURS, SERVER_CORE, fetch, free_port, serving
from tests.benchmarks.scenario import LIVE
from tests.benchmarks.subscribers import subscribed
from tests.benchmarks.throughput import SMALL, replaying

CLIENTS = 500
DASHBOARD = 1.0
"""States a second that exo's own dashboard asks for."""


def measure(states: Path, seconds: float) -> Row:
    """The row of the upstream: a cluster at rest, half of the clients subscribed, half asking as fast as they can."""
    with ExitStack() as stack:
        exo = stack.enter_context(replaying(states, 0))
        port = free_port()
        command = [*OURS, "serve", "--port", str(port), "--exo-url", exo.url("")]
        stack.enter_context(serving(command, port, FIRST, SERVER_CORE))

        async def crowd() -> float:
            async with subscribed(port, [{"query": LIVE}] * (CLIENTS // 2)):
                await asyncio.sleep(2)
                before = int(fetch(exo.url("/count")))
                asked = await asyncio.to_thread(requests_per_second, SMALL, port, seconds, CLIENTS // 2)
                reads = int(fetch(exo.url("/count"))) - before
                return reads / seconds if asked else float("nan")

        rate = asyncio.run(crowd())
    detail = f"{rate:.2f} states/s for {CLIENTS} clients; the same request, so the same share of exo's event loop"
    ratio = rate / DASHBOARD
    return Row("upstream", f"{ratio:.2f} times", "≤ 1", ratio <= 1, detail, {"states_per_second": rate})
