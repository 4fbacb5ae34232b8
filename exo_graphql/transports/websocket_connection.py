"""One websocket of the protocol `graphql-transport-ws`, written as a state machine.

    CONNECTING ── connection_init ──▶ READY ── subscribe · complete · ping ──▶ READY
        │ anything else                  │ what the protocol forbids
        ▼                                ▼
      closed                           closed          with the code that the protocol names

Its predecessor, the protocol `graphql-ws` of subscriptions-transport-ws, is not supported.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from enum import Enum, unique
from typing import Any

import orjson
from starlette.types import Message, Receive, Send

from exo_graphql.engine.execution import refusal
from exo_graphql.engine.limits import LimitExceeded
from exo_graphql.engine.prepared import Prepared
from exo_graphql.engine.reply import Outcome, Reply
from exo_graphql.engine.requests import BadRequest, GraphQLRequest, parse_request
from exo_graphql.engine.rights import Caller, Rights
from exo_graphql.engine.service import Service
from exo_graphql.observability.metrics import Transport
from exo_graphql.transports.asgi import Disconnected, clear_frames, send_within
from exo_graphql.transports.auth import Access, TooManyFailures, Unauthorized, authorization_in
from exo_graphql.transports.messages import (
    SUBPROTOCOL,
    Close,
    Closing,
    id_of,
    next_frame,
    payload_of,
    read_message,
    subscriber_exists,
    unknown_type,
)
from exo_graphql.transports.rules import TransportRules

# Seconds that queries and mutations in progress have at shutdown until the connection closes.
_ANSWERING_SECONDS = 0.5


def _too_many(limit: int) -> LimitExceeded:
    return LimitExceeded(
        "max_subscriptions",
        limit,
        "another operation on a websocket that already has as many in progress",
        "Complete some, or open another connection.",
    )


@unique
class State(Enum):
    """The state of a connection."""

    CONNECTING = "CONNECTING"
    READY = "READY"


class Connection:
    """One websocket: its state, and a task for each operation."""

    def __init__(
        self,
        service: Service,
        access: Access,
        authorization: str | None,
        address: str | None,
        receive: Receive,
        send: Send,
        *,
        max_subscriptions: int,
        leaving: asyncio.Event,
        rules: TransportRules,
    ) -> None:
        self._service = service
        self._access = access
        self._authorization = authorization
        self._address = address
        self._caller = Caller(Rights.READ)
        self._receive = receive
        self._asgi_send = send
        self._rules = rules
        self._max_subscriptions = max_subscriptions
        self._leaving = leaving
        self._state = State.CONNECTING
        self._operations: dict[str, asyncio.Task[None]] = {}
        """Operations in progress, by the id that the client chose."""
        self._answering: set[asyncio.Task[None]] = set()
        """The tasks of queries and mutations, for which shutdown waits."""
        self._tasks = asyncio.TaskGroup()

    async def serve(self, subprotocols: Collection[str]) -> None:
        """Reads messages until the client goes, the server shuts down, or the protocol is broken."""
        try:
            await self._receive()  # websocket.connect
            accepted = SUBPROTOCOL in subprotocols
            # A close code reaches the client only after the handshake.
            await self._send({"type": "websocket.accept", **({"subprotocol": SUBPROTOCOL} if accepted else {})})
            async with self._tasks:
                self._tasks.create_task(self._read(accepted=accepted), name="websocket: reading")
                self._tasks.create_task(self._leave(), name="websocket: leaving")
        except* Disconnected as group:  # nobody is left to answer
            clear_frames(group)
        except* Closing as group:
            clear_frames(group)
            closing = next(error for error in group.exceptions if isinstance(error, Closing))
            with suppress(Disconnected):
                await self._send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})
        finally:
            # A task that was cancelled keeps the error, which leads by its traceback to here.
            self._operations.clear()

    async def _read(self, *, accepted: bool) -> None:
        if not accepted:
            raise Closing(Close.SUBPROTOCOL_NOT_ACCEPTABLE)
        try:
            async with asyncio.timeout(self._rules.init_timeout):
                while self._state is State.CONNECTING:
                    await self._initialise(await self._next())
        except TimeoutError:
            raise Closing(Close.INIT_TIMEOUT) from None
        while True:
            await self._handle(await self._next())
            # Reading messages that have already arrived never waits: without this, other tasks would get no turn.
            await asyncio.sleep(0)

    async def _leave(self) -> None:
        """Once the server shuts down, waits for queries and mutations, then closes.

        Subscriptions are not completed: by the close code clients know that they must connect again.
        """
        await self._leaving.wait()
        if self._answering:
            await asyncio.wait(self._answering, timeout=_ANSWERING_SECONDS)
        raise Closing(Close.GOING_AWAY)

    async def _initialise(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "connection_init":
                self._admit(payload_of(message))
                self._state = State.READY
                await self._write({"type": "connection_ack"})
            case "ping":
                await self._pong(message)
            case "pong":
                pass
            case "subscribe":
                raise Closing(Close.UNAUTHORIZED)
            case _:
                raise unknown_type(message)

    def _admit(self, payload: Mapping[str, Any] | None) -> None:
        try:
            self._caller = self._access.caller(authorization_in(payload) or self._authorization, self._address)
        except Unauthorized:
            raise Closing(Close.FORBIDDEN) from None
        except TooManyFailures as error:
            raise Closing(Close.FORBIDDEN, f"{error.message} Try again in {error.retry_after} s.") from None

    async def _handle(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "connection_init":
                raise Closing(Close.TOO_MANY_INITS)
            case "ping":
                await self._pong(message)
            case "pong":
                pass
            case "subscribe":
                await self._subscribe(message)
            case "complete":
                await self._complete(id_of(message))
            case _:
                raise unknown_type(message)

    async def _next(self) -> Mapping[str, Any]:
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            raise Disconnected
        return read_message(event.get("text"))

    async def _pong(self, message: Mapping[str, Any]) -> None:
        payload = payload_of(message)
        try:
            pong = orjson.dumps({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})
        except TypeError:  # orjson reads 1,024 levels and writes 254
            raise Closing(Close.BAD_REQUEST, "The payload is nested too deeply") from None
        await self._text(pong.decode())

    async def _subscribe(self, message: Mapping[str, Any]) -> None:
        id_ = id_of(message)
        if id_ in self._operations:
            raise subscriber_exists(id_)
        try:
            request = parse_request(message.get("payload"))
        except BadRequest as error:
            raise Closing(Close.BAD_REQUEST, error.message) from None
        if len(self._operations) >= self._max_subscriptions:
            await self._refuse(id_, refusal((_too_many(self._max_subscriptions),)))
            return
        self._operations[id_] = self._tasks.create_task(self._run(id_, request), name="websocket: operation")

    async def _complete(self, id_: str) -> None:
        task = self._operations.pop(id_, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self, id_: str, request: GraphQLRequest) -> None:
        prepared = await self._service.prepare(request)
        metrics = self._service.metrics
        if isinstance(prepared, Reply):
            metrics.refused(Transport.WEBSOCKET)
            await self._refuse(id_, prepared.payload)
        elif prepared.is_subscription:
            try:
                await self._stream(id_, prepared)
            except LimitExceeded as error:
                metrics.refused(Transport.WEBSOCKET)
                await self._refuse(id_, refusal((error,)))
        else:
            metrics.answered(Transport.WEBSOCKET)
            task = self._operations[id_]
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
            await self._answer(id_, await self._service.answer(prepared, self._caller))

    async def _stream(self, id_: str, prepared: Prepared) -> None:
        head, tail = next_frame(id_)
        async with self._service.subscribe(prepared, self._caller) as subscriber:
            self._service.metrics.answered(Transport.WEBSOCKET)
            async for answer in subscriber:
                if subscriber.refused:
                    # The first result is an error: for the protocol the operation did not begin.
                    await self._refuse(id_, answer.payload)
                    return
                await self._text(head + answer.payload.decode() + tail)
        await self._finish(id_)

    async def _answer(self, id_: str, reply: Reply) -> None:
        if reply.outcome is not Outcome.EXECUTED:
            await self._refuse(id_, reply.payload)
            return
        head, tail = next_frame(id_)
        await self._text(head + reply.payload.decode() + tail)
        await self._finish(id_)

    async def _refuse(self, id_: str, payload: bytes) -> None:
        self._operations.pop(id_, None)
        await self._write({"id": id_, "type": "error", "payload": orjson.loads(payload)["errors"]})

    async def _finish(self, id_: str) -> None:
        # Free the id first: the client may use it again as soon as it has the message.
        self._operations.pop(id_, None)
        await self._write({"id": id_, "type": "complete"})

    async def _write(self, message: Mapping[str, Any]) -> None:
        await self._text(orjson.dumps(message).decode())

    async def _text(self, text: str) -> None:
        # Bytes would make a binary frame, which clients of this protocol reject.
        await self._send({"type": "websocket.send", "text": text})

    async def _send(self, message: Message) -> None:
        try:
            await send_within(self._rules.send_timeout, self._asgi_send, message)
        except RuntimeError as error:
            # uvicorn raises it where it has closed the connection: after a broken frame, or an unanswered ping.
            raise Disconnected from error
