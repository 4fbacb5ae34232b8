"""Receivers in this process, and a server that sends to them, under virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exo_graphql.events import EventKind, Occurrence, Severity
from exo_graphql.events.log import EventLog
from exo_graphql.storage import Store
from exo_graphql.webhooks.delivery import Delivery
from exo_graphql.webhooks.secret import new_secret
from exo_graphql.webhooks.target import targets
from exo_graphql.webhooks.webhooks import Webhooks
from tests.support.polled_cluster import loop_moment, loop_now

SECRET = new_secret()


@dataclass(frozen=True)
class Received:
    """One request."""

    at: float
    id: str
    headers: httpx.Headers
    body: bytes
    answered: int

    @property
    def message(self) -> str:
        """What happened."""
        text: str = orjson.loads(self.body)["data"]["message"]
        return text


@dataclass
class Receiver:
    """Answers with `status`, or as `answer` says for a message; `hangs` instead of answering."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    down: bool = False
    answer: Callable[[str], int] | None = None
    requests: list[Received] = field(default_factory=list)

    @property
    def taken(self) -> list[str]:
        """The messages that it took, in order."""
        return [each.message for each in self.requests if each.answered < 300]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        loop = asyncio.get_running_loop()
        message = orjson.loads(body)["data"]["message"]
        status = 0 if self.hangs else self.answer(message) if self.answer else self.status
        at = loop.time()
        self.requests.append(
            Received(at, request.headers["webhook-id"], httpx.Headers(request.headers.raw), body, status or 999)
        )
        if self.hangs:
            await asyncio.sleep(3600)
        await Response(status_code=status, headers=self.headers)(scope, receive, send)


class Network(httpx.AsyncBaseTransport):
    """Leads to each receiver by its host."""

    def __init__(self, receivers: dict[str, Receiver]) -> None:
        self._receivers = receivers

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        receiver = self._receivers[request.url.host]
        if receiver.down:
            raise httpx.ConnectError("refused", request=request)
        return await httpx.ASGITransport(receiver).handle_async_request(request)


@dataclass
class Sending:
    """A server with webhooks."""

    log: EventLog
    webhooks: Webhooks

    def happen(self, *messages: str, kind: EventKind = EventKind.MODEL_LOST) -> None:
        """Records events."""
        self.log.record(Occurrence(kind=kind, severity=Severity.ERROR, message=message) for message in messages)

    def __getitem__(self, number: int) -> Delivery:
        return self.webhooks.all()[number]


@asynccontextmanager
async def sending(
    store: Store,
    receivers: dict[str, Receiver],
    *,
    secrets: Sequence[str] = (SECRET,),
    urls: Sequence[str] | None = None,
    now: Callable[[], datetime] = loop_now,
    killed: bool = False,
) -> AsyncIterator[Sending]:
    """One process. `killed`: nothing is written at its end."""
    await store.open()
    urls = [f"http://{host}/" for host in receivers] if urls is None else urls
    log = EventLog(store, now=now)
    webhooks = Webhooks(targets(urls), secrets, log, store, now=loop_moment, transport=Network(receivers))
    await log.__aenter__()
    await webhooks.__aenter__()
    made = Sending(log, webhooks)
    try:
        yield made
    finally:
        if killed:
            await kill(made)
        else:
            await webhooks.__aexit__()
            await log.__aexit__()
        await store.close()


async def kill(made: Sending) -> None:
    """What SIGKILL leaves: no task runs, and nothing more is written."""
    mine = [task for task in asyncio.all_tasks() if task.get_name().startswith(("webhook ", "events"))]
    for task in mine:
        task.cancel()
    await asyncio.gather(*mine, return_exceptions=True)


def bodies(received: Sequence[Received]) -> list[Any]:
    """Decoded."""
    return [orjson.loads(each.body) for each in received]
