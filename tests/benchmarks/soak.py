"""A soak: `python -m tests.benchmarks.soak [--minutes 12] [--websockets 100] [--live-queries 200]`.

Mixed queries, live queries over websockets and event streams, and operations (some 60 a minute), on the demo with
faults on; clients that leave politely, and that do not. Each live query and every fifth query has a text of its own.
Printed once a minute and at the end: requests, errors by kind, and what the server holds; what it held before and
after, with no client there, should be the same.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from exo_graphql.simulator.scenario import SMALL_MODELS
from tests.benchmarks.attacks import ATTACKS, OVERVIEW
from tests.benchmarks.soaked import serve

PORT = 52920
_QUERIES = (
    *(f'{{ modelStatus(model: "{model}") {{ phase ready message }} }}' for model in SMALL_MODELS),
    f"{{ {OVERVIEW} }}",
    "{ nodes { id friendlyName ramAvailableGb models { name status { phase } } } }",
    "{ models(loaded: true) { id instances { phase shards { runnerStatus } } } }",
    "{ operations { id kind state steps { name state } error { code message } } }",
    '{ model(id: "nothing-like-it") { id } node(id: "nobody") { id } }',
    f'{{ placements(model: "{SMALL_MODELS[0]}") {{ sharding fits reason }} }}',
    "{ unknown }",
    "{ broken",
    *(ATTACKS[name] for name in ("cycle, 3 levels", "1,000 aliases", "1,000 times one field", "introspection, usual")),
)
_LIVE = (
    *(f'subscription {{ modelStatus(model: "{model}") {{ phase progressPercent }} }}' for model in SMALL_MODELS),
    "subscription { cluster { healthy connected nodes { id ramAvailableGb } tasks { id status } } }",
    "subscription { downloads { id status progressPercent } }",
    "subscription { nodes { id temperatureC downloads { id } } }",
)
_MUTATIONS = (
    'mutation {{ loadModel(model: "{0}", timeoutSeconds: 60) {{ operation {{ id }} error {{ code }} }} }}',
    'mutation {{ unloadModel(model: "{0}", drainSeconds: 1) {{ operation {{ id }} error {{ code }} }} }}',
    'mutation {{ swapModels(unload: "{0}", load: "{1}") {{ operation {{ id }} error {{ code }} }} }}',
)


@dataclass
class Soak:
    """One run: what was done, and what went wrong."""

    port: int
    until: float
    websockets: int
    """Clients over a websocket, each of which connects again when it has left."""
    live_queries: int
    """About how many they have together at any time."""
    done: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    serial: Any = field(default_factory=itertools.count)

    @property
    def goes_on(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.until

    def noted(self, payload: Any) -> None:
        """Counts an answer's errors by code."""
        for error in payload.get("errors") or ():
            self.errors[error["extensions"].get("limit") or error["extensions"]["code"]] += 1

    async def run(self) -> None:
        """All kinds of clients at once."""
        address = f"http://127.0.0.1:{self.port}"
        async with (
            httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as client,
            asyncio.TaskGroup() as tasks,
        ):
            for number in range(6):
                tasks.create_task(self._queries(client, random.Random(number)))
            for number in range(5):
                tasks.create_task(self._streams(client, random.Random(100 + number)))
            for number in range(2):
                tasks.create_task(self._operates(client, random.Random(200 + number)))
            for number in range(self.websockets):
                tasks.create_task(self._subscribes(random.Random(300 + number)))

    async def _ask(self, client: httpx.AsyncClient, query: str, kind: str) -> Any:
        try:
            answer = (await client.post("/graphql", json={"query": query})).json()
        except (httpx.HTTPError, ValueError) as error:
            self.errors[f"{kind}: {type(error).__name__}"] += 1
            return {}
        self.done[kind] += 1
        self.noted(answer)
        return answer

    async def _queries(self, client: httpx.AsyncClient, dice: random.Random) -> None:
        while self.goes_on:
            query = dice.choice(_QUERIES)
            if dice.random() < 0.2:  # a document that is new to the server
                query = query.replace("{", f"{{ unseen{next(self.serial)}: __typename ", 1)
            await self._ask(client, query, "queries")
            await asyncio.sleep(dice.uniform(0, 0.1))

    async def _operates(self, client: httpx.AsyncClient, dice: random.Random) -> None:
        while self.goes_on:
            mutation = dice.choice(_MUTATIONS).format(*dice.sample(SMALL_MODELS, 2))
            data = (await self._ask(client, mutation, "mutations")).get("data") or {}
            for payload in filter(None, data.values()):
                if payload["error"]:
                    self.errors[f"mutation: {payload['error']['code']}"] += 1
                    await asyncio.sleep(dice.uniform(0, 3))
                else:
                    state = await self._followed(payload["operation"]["id"])
                    self.done[f"operations {state}"] += 1

    async def _followed(self, operation: str) -> str:
        state = "LOST"
        async with self._websocket() as socket:
            await _subscribe(socket, f'subscription {{ operation(id: "{operation}") {{ state }} }}')
            async for text in socket:
                message = orjson.loads(text)
                if message["type"] != "next":
                    break
                state = message["payload"]["data"]["operation"]["state"]
                if not self.goes_on:
                    break
        return state

    async def _subscribes(self, dice: random.Random) -> None:
        while self.goes_on:
            async with self._websocket() as socket:
                for number in range(_about(self.live_queries / self.websockets, dice)):
                    await _subscribe(socket, self._live(dice), str(number))
                ends = min(self.until, time.monotonic() + dice.uniform(0.1, 15))
                while (left := ends - time.monotonic()) > 0:
                    try:
                        message = orjson.loads(await asyncio.wait_for(socket.recv(), left))
                    except TimeoutError:
                        break
                    self.done["live messages"] += 1
                    if message["type"] == "next":
                        self.noted(message["payload"])
                match dice.randrange(3):
                    case 0:
                        await socket.send('{"type":"complete","id":"0"}')
                    case 1:
                        socket.transport.abort()
                    case 2:
                        await socket.send("nonsense")

    async def _streams(self, client: httpx.AsyncClient, dice: random.Random) -> None:
        while self.goes_on:
            ends = min(self.until, time.monotonic() + dice.uniform(0.1, 15))
            try:
                async with (
                    asyncio.timeout(ends - time.monotonic()),
                    client.stream(
                        "POST",
                        "/graphql",
                        json={"query": self._live(dice)},
                        headers={"accept": "text/event-stream"},
                    ) as response,
                ):
                    async for line in response.aiter_lines():
                        self.done["event lines"] += line.startswith("data:")
            except TimeoutError:
                pass
            except httpx.HTTPError as error:
                self.errors[f"event stream: {type(error).__name__}"] += 1

    def _live(self, dice: random.Random) -> str:
        return dice.choice(_LIVE).replace("{ ", f"{{ live{next(self.serial)}: ", 1)

    @asynccontextmanager
    async def _websocket(self) -> AsyncIterator[ClientConnection]:
        try:
            async with connect(
                f"ws://127.0.0.1:{self.port}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None
            ) as socket:
                await socket.send('{"type":"connection_init"}')
                await socket.recv()
                self.done["websockets"] += 1
                yield socket
        except (WebSocketException, OSError) as error:
            self.errors[f"websocket: {type(error).__name__}"] += 1


def _about(mean: float, dice: random.Random) -> int:
    """A number of 1 to twice the mean, which is the mean on average."""
    low = min(1.0, mean)
    return round(dice.uniform(low, 2 * mean - low))


async def _subscribe(socket: ClientConnection, query: str, id_: str = "0") -> None:
    await socket.send(orjson.dumps({"type": "subscribe", "id": id_, "payload": {"query": query}}).decode())


def _held(asked: Connection) -> dict[str, Any]:
    asked.send(True)
    held: dict[str, Any] = asked.recv()
    return held


def _say(*parts: object) -> None:
    sys.stdout.write(" ".join(map(str, parts)) + "\n")
    sys.stdout.flush()


async def _soak(given: argparse.Namespace, seconds: float, asked: Connection) -> Soak:
    soak = Soak(given.port, time.monotonic() + seconds, given.websockets, given.live_queries)
    running = asyncio.create_task(soak.run())
    began = time.monotonic()
    while not (await asyncio.wait({running}, timeout=60))[0]:
        _say(f"{(time.monotonic() - began) / 60:.0f} min:", sum(soak.done.values()), "done;", _held(asked))
    await running
    return soak


def main() -> None:
    """Prints what was done, what went wrong, and what was left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--websockets", type=int, default=100)
    parser.add_argument("--live-queries", type=int, default=200, help="of all websockets together, about")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--faults-every", type=float, default=10.0, help="seconds, about")
    given = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    asked, theirs = spawn.Pipe()
    process = spawn.Process(target=serve, args=(given.port, given.faults_every, theirs), daemon=True)
    process.start()
    time.sleep(3)
    _say("at first:", _held(asked))
    # What is made once, caches included, is made by a first quarter of a minute.
    asyncio.run(_soak(given, 15, asked))
    time.sleep(10)
    before = _held(asked)
    soak = asyncio.run(_soak(given, given.minutes * 60, asked))
    time.sleep(10)
    after = _held(asked)
    asked.send(False)
    left = asked.recv()
    process.join(10)
    _say("\ndone:", *(f"\n  {count:9,} {kind}" for kind, count in soak.done.most_common()))
    _say("errors by kind:", *(f"\n  {count:9,} {kind}" for kind, count in soak.errors.most_common()))
    for name in before:
        _say(f"{name:14} before: {before[name]}   after: {after[name]}")
    _say("tasks left after the server's end:", left)


if __name__ == "__main__":
    main()
