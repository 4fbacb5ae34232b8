"""GraphQL over server-sent events, in distinct-connections mode: one stream for each operation.

The protocol: https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverSSE.md
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from exo_graphql.server.access import Rights
from exo_graphql.server.service import Prepared, Reply, Service
from exo_graphql.server.wire import Receive, Send

# Proxies end a connection on which nothing moves for long; a comment is no event.
KEEP_ALIVE_SECONDS = 12.0
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


async def stream_events(
    service: Service, prepared: Prepared | Reply, rights: Rights, receive: Receive, send: Send
) -> None:
    """Sends an operation's results as events until it completes or the client goes."""
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    gone = asyncio.ensure_future(_disconnected(receive))
    sending = asyncio.ensure_future(_send_events(service, prepared, rights, send))
    try:
        await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
    finally:
        for task in (gone, sending):
            task.cancel()
        await asyncio.gather(gone, sending, return_exceptions=True)


async def _send_events(service: Service, prepared: Prepared | Reply, rights: Rights, send: Send) -> None:
    async with aclosing(_payloads(service, prepared, rights)) as payloads:
        waiting: asyncio.Future[bytes | None] | None = None
        try:
            while True:
                waiting = waiting or asyncio.ensure_future(anext(payloads, None))
                done, _ = await asyncio.wait({waiting}, timeout=KEEP_ALIVE_SECONDS)
                if not done:
                    await _write(send, b":\n\n")
                    continue
                payload = waiting.result()
                waiting = None
                if payload is None:
                    break
                await _write(send, b"event: next\ndata: " + payload + b"\n\n")
        finally:
            if waiting is not None:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
    await _write(send, b"event: complete\ndata:\n\n")
    await send({"type": "http.response.body", "body": b""})


async def _payloads(service: Service, prepared: Prepared | Reply, rights: Rights) -> AsyncGenerator[bytes]:
    if isinstance(prepared, Reply):
        yield prepared.payload
    elif not prepared.is_subscription:
        yield (await service.answer(prepared, rights)).payload
    else:
        async with service.subscribe(prepared, rights) as subscriber:
            async for answer in subscriber:
                yield answer.payload


async def _write(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
