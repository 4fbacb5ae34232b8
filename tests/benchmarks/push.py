"""Push: how soon a client knows that a model has become ready, and what of exo's time that takes.

How many states are read is no goal: a read of a fifth of the price counts as one, too. What a cluster's owner pays is
exo's time, which the server bounds; so that is what is compared with what a loop takes that asks every 5 or 10 s.
"""

import asyncio
import random
import time
from contextlib import ExitStack
from statistics import median

import httpx
import orjson

from exo_graphql.exo.pacing import DEFAULT_POLLER_RULES
from exo_graphql.simulator.scenario import SMALL_MODELS
from tests.benchmarks.fanout import FIRST
from tests.benchmarks.figures import Row
from tests.benchmarks.processes import LOAD_CORE, OURS, SERVER_CORE, free_port, serving

GOALS = {0.039: 0.10, 0.2: 0.40}
"""Seconds that a state of exo takes (3 nodes; 15, or 3 after hours of use), and those after which half are known."""
_LOOK = 0.01
"""Seconds between two looks at exo itself: the precision of the moment when the model was ready."""
_PAUSE = 10.0
"""Seconds between two loads. A load every few seconds, without an end, would need more of exo's time than there is."""


def measure(loads: int) -> Row:
    """The row of the push: `loads` small models, one after the other, at each of the costs, in real time."""
    measured = asyncio.run(_measure(loads))
    middles = [median(delays) for delays, _ in measured]
    shares = [spent["share"] for _, spent in measured]
    limit = DEFAULT_POLLER_RULES.fast_share
    counts = " and ".join(f"{spent['whole'] / loads:.0f} + {spent['cheap'] / loads:.0f}" for _, spent in measured)
    detail = (
        f"median of {loads} loads, with states that take exo {' and '.join(f'{cost * 1e3:.0f}' for cost in GOALS)} ms; "
        f"a loop that asks every 5 s knows 2.5 s after exo on average. Of exo's busiest minute reading took "
        f"{' and '.join(f'{share * 100:.0f}' for share in shares)} %; whole and cheap reads a load, with its pause: "
        f"{counts}"
    )
    raw = {
        "costs": list(GOALS),
        "delays": [delays for delays, _ in measured],
        "spent": [spent for _, spent in measured],
    }
    figure = "; ".join(f"{middle * 1e3:.0f} ms" for middle in middles)
    goal = f"{'; '.join(f'≤ {goal * 1e3:.0f} ms' for goal in GOALS.values())}, with ≤ {limit * 100:.0f} % of exo's time"
    met = all(middle <= goal for middle, goal in zip(middles, GOALS.values(), strict=True)) and max(shares) <= limit
    return Row("push", figure, goal, met, detail, raw)


async def _measure(loads: int) -> list[tuple[list[float], dict[str, float]]]:
    """For each cost the seconds from exo's readiness to the subscriber's knowing it, and what exo has spent.

    All costs at the same time: what takes long here is waiting.
    """
    with ExitStack() as stack:
        tasks = []
        async with asyncio.TaskGroup() as group:
            for cost in GOALS:
                port, exo_port = free_port(), free_port()
                costly = ["-m", "tests.benchmarks.costly", str(exo_port), str(cost)]
                exo = stack.enter_context(serving(costly, exo_port, "/node_id", LOAD_CORE)).url("")
                command = [*OURS, "serve", "--port", str(port), "--exo-url", exo]
                ours = stack.enter_context(serving(command, port, FIRST, SERVER_CORE)).url("")
                tasks.append(group.create_task(_loads(exo, ours, loads)))
        return [task.result() for task in tasks]


async def _loads(exo: str, ours: str, count: int) -> tuple[list[float], dict[str, float]]:
    rng = random.Random(1)
    async with httpx.AsyncClient(timeout=60) as client:
        delays = []
        for number in range(count):
            # At any moment of the pace of reading.
            await asyncio.sleep(_PAUSE + rng.random() * 4)
            delays.append(await _load(client, exo, ours, SMALL_MODELS[number % len(SMALL_MODELS)]))
        return delays, (await client.get(f"{exo}/spent")).json()


async def _load(client: httpx.AsyncClient, exo: str, ours: str, model: str) -> float:
    """Seconds from when exo was ready until the subscriber knew it."""
    subscribed = asyncio.Event()
    knowing = asyncio.create_task(_known(client, ours, model, subscribed))
    await subscribed.wait()
    request = {"model_id": model, "sharding": "Pipeline", "instance_meta": "MlxRing", "min_nodes": 1}
    (await client.post(f"{exo}/place_instance", json=request)).raise_for_status()
    instance, ready = await _ready(client, exo, model)
    known = await asyncio.wait_for(knowing, 30)
    (await client.delete(f"{exo}/instance/{instance}")).raise_for_status()
    return max(known - ready, 0.0)


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
        instances = (await client.get(f"{exo}/free/state/instances")).json()
        runners = (await client.get(f"{exo}/free/state/runners")).json()
        now = time.monotonic()
        for id_, tagged in instances.items():
            assigned = next(iter(tagged.values()))["shardAssignments"]
            if assigned["modelId"] == model and all(
                "RunnerReady" in runners.get(runner, {}) for runner in assigned["runnerToShard"]
            ):
                return id_, now
        await asyncio.sleep(_LOOK)
