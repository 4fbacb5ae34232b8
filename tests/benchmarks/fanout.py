"""Fan-out: how soon the last of a thousand subscribers has what has changed, and what a message costs."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles

import orjson

from tests.benchmarks.figures import Row
from tests.benchmarks.ours import PACE
from tests.benchmarks.processes import SERVER_CORE, free_port, serving
from tests.benchmarks.scenario import LIVE
from tests.benchmarks.subscribers import subscribed
from tests.benchmarks.throughput import replaying

SUBSCRIBERS = 1000
FIRST = ("/graphql", orjson.dumps({"query": "{ cluster { nodeCount } }"}))


def measure(states: Path, seconds: float) -> Row:
    """The row of the fan-out: the state changes 4 times a second for `seconds`."""
    with ExitStack() as stack:
        exo = stack.enter_context(replaying(states, PACE))
        port = free_port()
        command = ["-m", "tests.benchmarks.ours", str(port), exo.url("")]
        server = stack.enter_context(serving(command, port, FIRST, SERVER_CORE))

        async def listen() -> tuple[list[float], float, int, int]:
            async with subscribed(port, [{"query": LIVE}] * SUBSCRIBERS) as received:
                await asyncio.sleep(1)
                received.arrivals.clear()
                messages, cpu = received.messages, server.cpu_seconds
                await asyncio.sleep(seconds)
                count = received.messages - messages
                return (
                    received.delays(SUBSCRIBERS),
                    server.cpu_seconds - cpu,
                    count,
                    received.payload_bytes // received.messages,
                )

        delays, cpu, count, size = asyncio.run(listen())
    p99 = quantiles(delays, n=100, method="inclusive")[-1]
    each = cpu / count
    met = p99 <= 0.150 and each <= 100e-6
    rate = f"{len(delays)} states, {count / seconds:,.0f} messages/s"
    detail = f"{SUBSCRIBERS:,} subscribers, {size:,} bytes a message, {rate}"
    raw = {"p99_seconds": p99, "cpu_seconds_per_message": each, "delays": delays, "messages": count}
    return Row("fan-out", f"{p99 * 1e3:.0f} ms; {each * 1e6:.0f} µs", "≤ 150 ms; ≤ 100 µs", met, detail, raw)
