"""Push: how soon a client knows that a model has become ready, against loops that ask every 10 s and every 5 s."""

import asyncio
import math
import re
import time
from contextlib import ExitStack

import httpx
import orjson

from exo_graphql.simulator.scenario import SMALL_MODELS
from tests.benchmarks.fanout import FIRST
from tests.benchmarks.figures import Row
from tests.benchmarks.processes import LOAD_CORE, OURS, SERVER_CORE, free_port, serving

LOOPS = (10.0, 5.0)
"""Seconds that PR #1727's loop and PR #1728's command line sleep between two questions."""
_LOOK = 0.02
"""Seconds between two requests to exo itself: the precision of the moment when the model was ready."""


def measure(loads: int) -> Row:
    """The row of the push: `loads` small models, one after the other, in a simulated exo in real time."""
    with ExitStack() as stack:
        port, exo_port = free_port(), free_port()
        stack.enter_context(serving([*OURS, "simulate", "--port", str(exo_port)], exo_port, "/node_id", LOAD_CORE))
        exo = f"http://127.0.0.1:{exo_port}"
        command = [*OURS, "serve", "--port", str(port), "--exo-url", exo]
        stack.enter_context(serving(command, port, FIRST, SERVER_CORE))
        taken = [asyncio.run(_load(exo, f"http://127.0.0.1:{port}", model)) for model in SMALL_MODELS[:loads]]
    delays = [max(known - ready, 1e-4) for ready, known, _ in taken]
    push = sum(delays) / loads
    reads = sum(count for *_, count in taken) / loads
    asked = [sum(math.ceil(ready / every) for ready, *_ in taken) / loads for every in LOOPS]
    # When a model is ready has nothing to do with when a loop sleeps: on average it sleeps half of its pause longer.
    times = [every / 2 / push for every in LOOPS]
    detail = (
        f"known {push * 1e3:.0f} ms after exo (mean of {loads} loads), where the loops' mean is 5 and 2.5 s; "
        f"states read a load: {reads:.0f}, by the loops {asked[0]:.1f} and {asked[1]:.1f}"
    )
    raw = {"delays": delays, "times": times, "reads_per_load": reads, "ready_after": [ready for ready, *_ in taken]}
    figure = f"{times[0]:.0f} and {times[1]:.0f} times sooner"
    goal = "≥ 20 times sooner, with fewer states read than a loop asks for"
    return Row("push", figure, goal, min(times) >= 20 and reads < min(asked), detail, raw)


async def _load(exo: str, ours: str, model: str) -> tuple[float, float, int]:
    """Seconds from the request until exo was ready and until the subscriber knew it, and how many states we read."""
    async with httpx.AsyncClient(timeout=60) as client:
        before = await _reads(client, ours)
        subscribed = asyncio.Event()
        knowing = asyncio.create_task(_known(client, ours, model, subscribed))
        await subscribed.wait()
        began = time.monotonic()
        request = {"model_id": model, "sharding": "Pipeline", "instance_meta": "MlxRing", "min_nodes": 1}
        (await client.post(f"{exo}/place_instance", json=request)).raise_for_status()
        instance, ready = await _ready(client, exo, model)
        known = await asyncio.wait_for(knowing, 30)
        reads = await _reads(client, ours) - before
        (await client.delete(f"{exo}/instance/{instance}")).raise_for_status()
        await asyncio.sleep(1)
        return ready - began, known - began, reads


async def _known(client: httpx.AsyncClient, ours: str, model: str, subscribed: asyncio.Event) -> float:
    query = f'subscription {{ modelStatus(model: "{model}", until: READY) {{ ready }} }}'
    headers = {"accept": "text/event-stream"}
    async with client.stream("POST", f"{ours}/graphql", json={"query": query}, headers=headers) as events:
        async for line in events.aiter_lines():
            if line.startswith("data: {"):
                subscribed.set()
                if orjson.loads(line[6:])["data"]["modelStatus"]["ready"]:
                    return time.monotonic()
    raise RuntimeError("the stream ended before the model was ready")


async def _ready(client: httpx.AsyncClient, exo: str, model: str) -> tuple[str, float]:
    """The instance, and when its runners were all ready."""
    while True:
        instances = (await client.get(f"{exo}/state/instances")).json()
        runners = (await client.get(f"{exo}/state/runners")).json()
        now = time.monotonic()
        for id_, tagged in instances.items():
            assigned = next(iter(tagged.values()))["shardAssignments"]
            if assigned["modelId"] == model and all(
                "RunnerReady" in runners.get(runner, {}) for runner in assigned["runnerToShard"]
            ):
                return id_, now
        await asyncio.sleep(_LOOK)


async def _reads(client: httpx.AsyncClient, ours: str) -> int:
    text = (await client.get(f"{ours}/metrics")).text
    found = re.search(r"^exo_graphql_upstream_reads_total(?:\{[^}]*\})? ([0-9.e+]+)$", text, re.MULTILINE)
    if found is None:
        raise RuntimeError("no figure of the states that were read")
    return int(float(found.group(1)))
