"""A real exo's recorded timelines, served at their own pace over HTTP, and watched over websockets."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import orjson
import uvicorn
from starlette.types import Receive, Scope, Send

from exo_graphql.serve import server_config
from exo_graphql.transports.asgi import respond
from tests.support.polled_cluster import CHEAP
from tests.support.recordings import steps, walk
from tests.support.running import Running, Socket, running, until

QUERY = "subscription ($model: String!) { modelStatus(model: $model) { phase progressPercent } }"
COST = 0.039
"""Seconds that `GET /state` takes a real exo of three nodes."""

Status = tuple[str, float | None]
"""Phase and progress in percent."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a model's status becomes with the recording's state of this number, `at` seconds after `play`."""

    number: int
    at: float
    status: Status


class Recorded:
    """An exo that replays a recording, from `play` on. It says when each of its states could first be read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._steps = steps(name)
        self._bodies = [orjson.dumps(step.document) for step in self._steps]
        self._began: float | None = None
        self.requests: Counter[str] = Counter()
        self.answered: dict[int, float] = {}
        """When each state, by its number, or a later one was first answered, in seconds after `play`."""
        self.cost = COST
        """Seconds that a whole state takes."""
        self.fault: str | None = None
        """`hang`, `reset`, `garbage` or `error`: what is done instead of answering."""

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self._steps[-1].t - self._steps[0].t

    def play(self) -> float:
        """Begins; when that was, by the loop's clock."""
        self._began = asyncio.get_running_loop().time()
        return self._began

    def truth(self, model: str) -> list["Change"]:
        """The true statuses of a model, each time they change."""
        changes: list[Change] = []
        for number, (t, snapshot) in enumerate(walk(self.name)):
            model_status = snapshot.status(model)
            status = model_status.phase.value, model_status.progress_percent
            if not changes or changes[-1].status != status:
                changes.append(Change(number, t - self._steps[0].t, status))
        return changes

    def _current(self) -> int:
        if self._began is None:
            return 0
        elapsed = asyncio.get_running_loop().time() - self._began + self._steps[0].t
        return max(0, sum(step.t <= elapsed for step in self._steps) - 1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers as exo does: it takes the state, and then its time to write it down."""
        if scope["type"] != "http":
            return
        self.requests[scope["path"]] += 1
        match self.fault:
            case "hang":
                while (await receive())["type"] != "http.disconnect":
                    pass
            case "reset":
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"999999")]})
                await send({"type": "http.response.body", "body": b'{"topology"', "more_body": True})
            case "garbage":
                await respond(send, 200, b"<html>\xff\x00</html>", b"application/json")
            case "error":
                await respond(send, 500, b"Internal Server Error", b"text/plain")
            case _ if scope["path"] == "/state":
                current = self._current()
                await asyncio.sleep(self.cost)
                if self._began is not None:
                    now = asyncio.get_running_loop().time() - self._began
                    for number in range(len(self.answered), current + 1):
                        self.answered[number] = now
                await respond(send, 200, self._bodies[current], b"application/json")
            case _ if scope["path"] == "/state/runners":
                current = self._current()
                await asyncio.sleep(self.cost * CHEAP)
                await respond(send, 200, orjson.dumps(self._steps[current].document["runners"]), b"application/json")
            case _:
                await respond(send, 404, b'{"detail":"Not Found"}', b"application/json")


class Upstream:
    """It on a socket, which can be closed and opened again."""

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded
        self.port = 0
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens, at the same port each time."""
        config = server_config(self.recorded, "127.0.0.1", self.port)
        config.lifespan = "off"
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server._serve())
        server = self._server
        await until(lambda: server.started)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Closes the port."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = self._server.force_exit = True
            await self._serving


@dataclass(slots=True)
class Watch:
    """What one subscriber was sent, and when, in seconds after `play`."""

    messages: list[tuple[float, Status]] = field(default_factory=list)

    @property
    def statuses(self) -> list[Status]:
        """Without the times."""
        return [status for _, status in self.messages]

    def matched(self, truth: Sequence[Change]) -> list[tuple[float, Change]]:
        """Each message but the first, and the change that it reports. Raises `StopIteration` for what never was."""
        found = []
        after = 0
        for at, status in self.messages[1:]:
            after = next(index for index in range(after + 1, len(truth)) if truth[index].status == status)
            found.append((at, truth[after]))
        return found


@dataclass(frozen=True, slots=True)
class Replay:
    """One replay: what each subscriber was sent, and how often exo was asked from `play` on until its end."""

    watches: list[Watch]
    truth: list[Change]
    answered: dict[int, float]
    reads: int
    executions: int

    @property
    def pace(self) -> float:
        """Seconds from one read to the next, on average."""
        return self.truth[-1].at / self.reads

    @property
    def delays(self) -> list[float]:
        """Seconds from when it could first have been read to when it was there, of all messages of all subscribers."""
        return [at - change.at for watch in self.watches for at, change in watch.matched(self.truth)]

    @property
    def own_delays(self) -> list[float]:
        """Seconds from exo's answer to when it was there: what the server itself adds."""
        return [at - self.answered[change.number] for watch in self.watches for at, change in watch.matched(self.truth)]


@asynccontextmanager
async def behind(*names: str, **settings: Any) -> AsyncIterator[tuple[Running, list[Upstream]]]:
    """A server before recorded exos, each at a URL of its own."""
    upstreams = [Upstream(Recorded(name)) for name in names]
    async with AsyncExitStack() as stack:
        for upstream in upstreams:
            await upstream.start()
            stack.push_async_callback(upstream.stop)
        urls = ",".join(f"http://127.0.0.1:{upstream.port}" for upstream in upstreams)
        server = await stack.enter_async_context(running(demo=False, exo_url=urls, **settings))
        await server.components.poller.fresh()
        yield server, upstreams


async def replay(
    name: str, model: str, *, subscribers: int = 1, connections: int | None = None, cost: float = COST
) -> Replay:
    """Plays a recording before that many subscribers, spread over `connections` (one each, by default)."""
    async with behind(name) as (server, (upstream,)), AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(server.socket()) for _ in range(connections or subscribers)]
        recorded = upstream.recorded
        recorded.cost = cost
        truth = recorded.truth(model)
        watches: dict[tuple[int, str], Watch] = {}
        for number in range(subscribers):
            place = number % len(sockets)
            id_ = await sockets[place].subscribe(QUERY, model=model)
            watches[place, id_] = Watch()
        clock = asyncio.get_running_loop().time
        began = float("inf")

        async def read(place: int, socket: Socket) -> None:
            while True:
                message = orjson.loads(await socket.connection.recv())
                status = message["payload"]["data"]["modelStatus"]
                watch = watches[place, message["id"]]
                watch.messages.append((clock() - began, (status["phase"], status["progressPercent"])))

        executor = server.components.service._executor
        async with asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(read(*each)) for each in enumerate(sockets)]
            await until(lambda: all(watch.messages for watch in watches.values()))
            # A few reads at the normal pace, for the poller to learn what they cost.
            await until(lambda: recorded.requests["/state"] >= 4)
            with patch.object(executor, "execute", wraps=executor.execute) as execute:
                before = recorded.requests["/state"]
                began = recorded.play()
                await asyncio.sleep(recorded.seconds)
                await until(
                    lambda: all(watch.statuses[-1] == truth[-1].status for watch in watches.values()), seconds=10
                )
                reads = recorded.requests["/state"] - before
                await asyncio.sleep(0.5)  # nothing more may come
            for task in readers:
                task.cancel()
        return Replay(list(watches.values()), truth, recorded.answered, reads, execute.call_count)
