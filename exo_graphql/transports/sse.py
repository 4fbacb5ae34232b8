"""GraphQL over server-sent events, in distinct-connections mode: one stream for each operation.

The protocol: https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverSSE.md
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from starlette.types import Receive, Send

from exo_graphql.engine.execution import refusal
from exo_graphql.engine.limits import LimitExceeded
from exo_graphql.engine.prepared import Prepared
from exo_graphql.engine.reply import Reply
from exo_graphql.engine.rights import Caller
from exo_graphql.engine.service import Service
from exo_graphql.observability.metrics import Transport
from exo_graphql.transports.asgi import Disconnected, break_off_of, clear_frames, send_within
from exo_graphql.transports.exchange import Exchange
from exo_graphql.transports.rules import TransportRules

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


class _ShuttingDown(Exception):
    """The server shuts down while a subscription is open."""


class EventStreamHandler:
    """Answers by an event stream: any operation, a subscription until it ends."""

    def __init__(self, service: Service, rules: TransportRules, leaving: asyncio.Event) -> None:
        """`leaving` is set when the server shuts down."""
        self._service = service
        self._rules = rules
        self._leaving = leaving

    async def answer(self, exchange: Exchange, prepared: Prepared | Reply, caller: Caller) -> None:
        """Sends an operation's results as events until it completes or the client goes.

        When the server shuts down, a subscription is broken off within its response: after a `complete`, or after an
        orderly end of the response, no client would connect again.
        """
        if exchange.method == "HEAD":
            await _send_head(exchange.send)
            return
        send = partial(send_within, self._rules.send_timeout, exchange.send)
        try:
            async with asyncio.TaskGroup() as tasks:
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                beside = [
                    tasks.create_task(_disconnected(exchange.receive), name="event stream: reading"),
                    tasks.create_task(_comment(send, self._rules.keep_alive), name="event stream: keeping alive"),
                ]
                if isinstance(prepared, Prepared) and prepared.is_subscription:
                    beside.append(tasks.create_task(_left(self._leaving), name="event stream: leaving"))
                async with aclosing(_payloads(self._service, prepared, caller)) as payloads:
                    async for payload in payloads:
                        await _write(send, b"event: next\ndata: " + payload + b"\n\n")
                for task in beside:
                    task.cancel()
                await _write(send, b"event: complete\ndata:\n\n")
                await send({"type": "http.response.body", "body": b""})
        except* Disconnected as group:  # nobody is left to answer
            clear_frames(group)
        except* _ShuttingDown as group:
            clear_frames(group)
            break_off_of(exchange.scope)()


async def _send_head(send: Send) -> None:
    """The headers that a stream begins with: a response to HEAD has no events."""
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b""})


async def _payloads(service: Service, prepared: Prepared | Reply, caller: Caller) -> AsyncGenerator[bytes]:
    if isinstance(prepared, Reply):
        service.metrics.refused(Transport.SSE)
        yield prepared.payload
    elif not prepared.is_subscription:
        service.metrics.answered(Transport.SSE)
        yield (await service.answer(prepared, caller)).payload
    else:
        try:
            async with service.subscribe(prepared, caller) as subscriber:
                service.metrics.answered(Transport.SSE)
                async for answer in subscriber:
                    yield answer.payload
        except LimitExceeded as error:
            service.metrics.refused(Transport.SSE)
            yield refusal((error,))


async def _comment(send: Send, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        await _write(send, b":\n\n")


async def _write(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _left(leaving: asyncio.Event) -> None:
    await leaving.wait()
    raise _ShuttingDown


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise Disconnected
