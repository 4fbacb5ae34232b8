"""A bystander: how long somebody waits for a small answer while the state of a large cluster is read once a second."""

import asyncio
import re
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles

import orjson

from tests.benchmarks.fanout import FIRST
from tests.benchmarks.figures import Row
from tests.benchmarks.processes import SERVER_CORE, fetch, free_port, serving
from tests.benchmarks.scenario import multiplied
from tests.benchmarks.subscribers import subscribed
from tests.benchmarks.throughput import GRAPHQL, replaying

NODES = 32
_EVERY = 0.005
"""Seconds from one question to the next, answered or not."""
_CONNECTIONS = 100
_QUESTION = orjson.dumps({"query": "{ cluster { nodeCount } }"})
_REQUEST = b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    GRAPHQL.encode(),
    len(_QUESTION),
    _QUESTION,
)
# What somebody looks at who keeps the state being read; its messages are small.
_WATCHED = "subscription { cluster { nodeCount ramAvailableGb observedAt } }"


def measure(bodies: list[bytes], directory: Path, seconds: float) -> Row:
    """The row of the bystander, on a server whose cluster's telemetry moves every second."""
    states = directory / "large-states"
    states.write_bytes(b"\n".join(multiplied(body, NODES // 4) for body in bodies))
    with ExitStack() as stack:
        exo = stack.enter_context(replaying(states, 1.0))
        port = free_port()
        command = ["-m", "tests.benchmarks.ours", str(port), exo.url(""), "0.95"]
        stack.enter_context(serving(command, port, FIRST, SERVER_CORE))

        async def watched() -> tuple[list[float], int]:
            async with subscribed(port, [{"query": _WATCHED}]):
                await asyncio.sleep(2)
                before = int(fetch(exo.url("/count")))
                waits = await _waits(port, seconds)
                return sorted(waits), int(fetch(exo.url("/count"))) - before

        waits, reads = asyncio.run(watched())
    p99 = quantiles(waits, n=100)[98] * 1e3
    longest = waits[-1] * 1e3
    detail = f"{NODES} nodes in motion read {reads} times, 200 small queries a second; the longest {longest:.0f} ms"
    raw = {"p99_ms": p99, "longest_ms": longest, "reads": reads, "median_ms": waits[len(waits) // 2] * 1e3}
    return Row("bystander", f"{p99:.1f} ms", "≤ 10 ms", p99 <= 10, detail, raw)


async def _waits(port: int, seconds: float) -> list[float]:
    """Seconds from when each question was due to its answer: who waits for one does not put off the others."""
    until = time.perf_counter() + seconds
    waits: list[float] = []

    async def ask(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        due = time.perf_counter() + number * _EVERY
        try:
            while due < until:
                await asyncio.sleep(due - time.perf_counter())
                writer.write(_REQUEST)
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head.lower())
                assert length is not None
                await reader.readexactly(int(length.group(1)))
                waits.append(time.perf_counter() - due)
                due += _CONNECTIONS * _EVERY
        finally:
            writer.close()

    async with asyncio.TaskGroup() as tasks:
        for number in range(_CONNECTIONS):
            tasks.create_task(ask(number))
    return waits
