"""Servers in processes of their own that share one real PostgreSQL and one simulated exo, and who watches each."""

import asyncio
import os
import re
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.support.process import free_port
from tests.support.running import PATIENCE, SUBPROTOCOL
from tests.support.severed import Severed
from tests.trials.recorder import Recorder

SEEN = """subscription {
  cluster {
    connected stale unhealthyReasons
    models { id status { phase changedAt failure { at message } } }
    operations(ended: 5) { id state message steps { name state } }
    lastEvent { id kind message }
  }
}"""


def now() -> float:
    """Seconds of all that is noted here."""
    return time.monotonic()


@dataclass
class Exo:
    """The simulated exo that all servers use, and what it has been asked."""

    sim: SimulatedExo
    url: str
    recorder: Recorder
    ready: list[tuple[float, frozenset[tuple[str, str]]]] = field(default_factory=list)
    """When, and model and id of all that is ready from then on."""
    listed: dict[str, str] = field(default_factory=dict)
    """Model by id, of every instance that was ever listed."""

    def creations(self, model: str) -> set[str]:
        """The ids of its instances, gone ones included."""
        return {id_ for id_, of in self.listed.items() if of == model}

    def gaps(self, since: float) -> float:
        """Seconds since then in which nothing was ready."""
        total, empty_at = 0.0, None
        for at, ready in [*self.ready, (now(), frozenset({("", "")}))]:
            if empty_at is not None:
                total += max(0.0, at - max(since, empty_at))
            empty_at = at if not ready else None
        return total

    async def look(self) -> None:
        """Notes what exo holds, again and again."""
        while True:
            instances = self.sim._simulation.instances.all
            self.listed |= {id_: one.card.model_id for id_, one in instances.items()}
            ready = frozenset((one.card.model_id, id_) for id_, one in instances.items() if one.phase == "ready")
            if not self.ready or self.ready[-1][1] != ready:
                self.ready.append((now(), ready))
            await asyncio.sleep(0.01)


@asynccontextmanager
async def exo(speed: float = 1.0) -> AsyncIterator[Exo]:
    """A running one, over a socket."""
    sim = SimulatedExo(tiny_scenario(), speed=speed, seed=1)
    recorder = Recorder(sim, now)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(recorder, log_level="warning", lifespan="on"))
        serving = asyncio.create_task(server.serve([listener]))
        made = Exo(sim, f"http://127.0.0.1:{listener.getsockname()[1]}", recorder)
        looking = asyncio.create_task(made.look())
        try:
            yield made
        finally:
            looking.cancel()
            server.should_exit = True
            await serving


@dataclass
class Message:
    """What a subscriber was sent, and when."""

    at: float
    cluster: dict[str, Any]

    def phase(self, model: str) -> str:
        """Of a model that is listed."""
        return next((m["status"]["phase"] for m in self.cluster["models"] if m["id"] == model), "")

    def operation(self, id_: str) -> dict[str, Any] | None:
        """As it was shown."""
        return next((o for o in self.cluster["operations"] if o["id"] == id_), None)


@dataclass
class Replica:
    """One server."""

    name: str
    port: int
    process: Process
    database: Severed
    messages: list[Message] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced, with each message."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def last(self) -> Message | None:
        return self.messages[-1] if self.messages else None

    @property
    def models(self) -> list[dict[str, Any]]:
        """As they were shown last."""
        models: list[dict[str, Any]] = [] if self.last is None else self.last.cluster["models"]
        return models

    async def ask(self, query: str, seconds: float = 20.0, **variables: Any) -> Any:
        """The data of an answer."""
        async with httpx.AsyncClient(timeout=seconds, trust_env=False) as client:
            answer = await client.post(f"{self.url}/graphql", json={"query": query, "variables": variables})
        body = answer.json()
        assert "errors" not in body, body
        return body["data"]

    async def role(self) -> str | None:
        """As `/readyz` says it; None where it does not answer."""
        with suppress(httpx.HTTPError):
            async with httpx.AsyncClient(timeout=1.0, trust_env=False) as client:
                answer = await client.get(f"{self.url}/readyz")
                return str(answer.json().get("role"))
        return None

    async def until(self, holds: Callable[[Message], bool], seconds: float = 60.0) -> Message:
        """The first message from the last one on for which it holds."""
        async with asyncio.timeout(seconds):
            while True:
                if self.last is not None and holds(self.last):
                    return self.last
                await self.arrived.wait()

    async def watch(self) -> None:
        """Subscribes, again and again, and notes what comes."""
        while True:
            with suppress(OSError, WebSocketException, TimeoutError):
                async with connect(
                    f"ws://127.0.0.1:{self.port}/graphql", subprotocols=[SUBPROTOCOL], proxy=None, max_size=None
                ) as connection:
                    await connection.send('{"type": "connection_init"}')
                    await connection.recv()
                    subscribe = {"id": "1", "type": "subscribe", "payload": {"query": SEEN}}
                    await connection.send(orjson.dumps(subscribe).decode())
                    async for text in connection:
                        self._received(orjson.loads(text))
            await asyncio.sleep(0.2)

    def _received(self, message: dict[str, Any]) -> None:
        if message["type"] == "next" and "errors" not in message["payload"]:
            self.messages.append(Message(now(), message["payload"]["data"]["cluster"]))
            arrived, self.arrived = self.arrived, asyncio.Event()
            arrived.set()
        elif message["type"] not in ("ping", "pong"):
            self.errors.append(str(message))

    async def keep_log(self) -> None:
        """Reads what it logs."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.log.append(f"{now():.2f} {line.decode().rstrip()}")

    def logged(self, text: str) -> float | None:
        """When it first logged that."""
        return next((float(line.split()[0]) for line in self.log if text in line and line[0].isdigit()), None)

    def signal(self, number: signal.Signals) -> None:
        if self.process.returncode is None:
            self.process.send_signal(number)


@asynccontextmanager
async def replica(folder: Path, name: str, exo_url: str, database: str, *arguments: str) -> AsyncIterator[Replica]:
    """A running server, watched."""
    async with AsyncExitStack() as stack:
        severed = await stack.enter_async_context(Severed.between(database))
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from exo_graphql.program import app; app()", "serve"),
            *("--exo-url", exo_url, "--port", str(port), "--state-dir", str(folder / name)),
            *("--database-url", severed.url, "--advertise-url", f"http://127.0.0.1:{port}", *arguments),
            stderr=PIPE,
            env={key: value for key, value in os.environ.items() if not key.startswith("EXO_GRAPHQL_")},
        )
        made = Replica(name, port, process, severed)
        assert process.stderr is not None
        try:
            async with asyncio.timeout(PATIENCE):
                async for line in process.stderr:
                    made.log.append(line.decode().rstrip())
                    if re.search(rb"//127\.0\.0\.1:\d+/graphql", line):
                        break
            assert process.returncode is None, made.log
            for work in (made.keep_log(), made.watch()):
                task = asyncio.create_task(work)
                stack.callback(task.cancel)
            await made.until(lambda message: bool(message.cluster["connected"]))
            yield made
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@asynccontextmanager
async def replicas(
    folder: Path, exo_url: str, database: str, count: int = 2, *arguments: str
) -> AsyncIterator[list[Replica]]:
    """Several of them; the first one leads."""
    async with AsyncExitStack() as stack:
        made = []
        for number in range(count):
            one = replica(folder, f"server-{number + 1}", exo_url, database, *arguments)
            made.append(await stack.enter_async_context(one))
        async with asyncio.timeout(PATIENCE):
            while await made[0].role() != "leader":  # noqa: ASYNC110  # it is asked over HTTP
                await asyncio.sleep(0.05)
        yield made
