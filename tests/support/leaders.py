"""A server that leads, as another one meets it: it answers as the test says, over a real connection."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson

from exo_graphql.replicas.leader_client import OUTCOME_HEADER, ROLE_HEADER

Act = Callable[["Arrival"], Awaitable[None]]


class Arrival:
    """A mutation that has arrived whole, and its connection."""

    def __init__(self, head: str, body: Any, writer: asyncio.StreamWriter) -> None:
        self.head = head
        self.body = body
        self.writer = writer

    async def send(self, status: int, body: bytes = b"{}", *headers: str, length: int | None = None) -> None:
        """Answers. `length`: what the answer says that its length is."""
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body) if length is None else length}", *headers]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await self.writer.drain()


class Leader:
    """Counts what arrives, and lets `act` deal with it."""

    def __init__(self, act: Act) -> None:
        self.act = act
        self.tell: Act = answering(204)
        """What it does when it is asked whether it leads."""
        self.asked = 0
        self.arrived: list[Arrival] = []
        self.at_once = self.most_at_once = 0
        self.url = ""
        self.first = asyncio.Event()
        """Once one has arrived."""
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        task = asyncio.create_task(self._serve(reader, writer), name="leader")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Ends those that hang."""
        for task in tuple(self._tasks):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if head.startswith("GET /replica/graphql "):
                self.asked += 1
                await self.tell(Arrival(head, None, writer))
            if not head.startswith("POST"):
                return  # a reader of exo's state will read exo itself
            length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            assert length is not None
            arrival = Arrival(head, orjson.loads(await reader.readexactly(int(length[1]))), writer)
            self.arrived.append(arrival)
            self.first.set()
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                await self.act(arrival)
            finally:
                self.at_once -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def leading(act: Act, tls: ssl.SSLContext | None = None) -> AsyncIterator[Leader]:
    """A leader that listens, with `tls` by https."""
    leader = Leader(act)
    async with await asyncio.start_server(leader.serve, "127.0.0.1", 0, ssl=tls) as server:
        leader.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield leader
        finally:
            await leader.close()


async def accept(arrival: Arrival) -> None:
    """Carries it out."""
    await arrival.send(200, b'{"data":{}}', f"{OUTCOME_HEADER}: EXECUTED")


async def hang(arrival: Arrival) -> None:
    """Never answers."""
    await asyncio.Event().wait()


async def break_off(arrival: Arrival) -> None:
    """Closes the connection instead of answering."""


async def follow(arrival: Arrival) -> None:
    """Does not lead."""
    await arrival.send(409, b"{}", f"{ROLE_HEADER}: follower")


def answering(status: int, body: bytes = b"{}", *headers: str, length: int | None = None) -> Act:
    """Always answers this."""

    async def act(arrival: Arrival) -> None:
        await arrival.send(status, body, *headers, length=length)

    return act


def executed(body: bytes, length: int | None = None) -> Act:
    """Says that it was carried out, with this body."""
    return answering(200, body, f"{OUTCOME_HEADER}: EXECUTED", length=length)
