"""GraphQL over a websocket: the protocol `graphql-transport-ws`, written as a state machine.

    CONNECTING ── connection_init ──▶ READY ── subscribe · complete · ping ──▶ READY
        │ anything else                  │ what the protocol forbids
        ▼                                ▼
      closed                           closed          with the code that the protocol names

The protocol: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md (its predecessor, `graphql-ws` of
subscriptions-transport-ws, is not spoken).
"""

import asyncio
import contextlib
from collections.abc import Mapping
from enum import Enum, unique
from typing import Any

import orjson

from exo_graphql.server.access import Access, Rights, Unauthorized, authorization_in
from exo_graphql.server.requests import BadRequest, GraphQLRequest, parse_request
from exo_graphql.server.service import Outcome, Prepared, Reply, Service
from exo_graphql.server.wire import Receive, Scope, Send, headers_of

SUBPROTOCOL = "graphql-transport-ws"


@unique
class Close(Enum):
    """The codes that the protocol names, with their reasons."""

    GOING_AWAY = (1001, "Server is shutting down")
    BAD_REQUEST = (4400, "Invalid message received")
    UNAUTHORIZED = (4401, "Unauthorized")
    FORBIDDEN = (4403, "Forbidden")
    SUBPROTOCOL_NOT_ACCEPTABLE = (4406, "Subprotocol not acceptable")
    INIT_TIMEOUT = (4408, "Connection initialisation timeout")
    SUBSCRIBER_EXISTS = (4409, "Subscriber already exists")
    TOO_MANY_INITS = (4429, "Too many initialisation requests")


class Closing(Exception):
    """The connection must be closed with this code."""

    def __init__(self, close: Close, reason: str | None = None) -> None:
        super().__init__(close)
        self.code, default = close.value
        self.reason = reason or default


@unique
class State(Enum):
    """Where a connection stands."""

    CONNECTING = "CONNECTING"
    READY = "READY"


class WebSocketEndpoint:
    """The endpoint `/graphql` for websockets."""

    def __init__(self, service: Service, access: Access, *, init_timeout: float) -> None:
        self._service = service
        self._access = access
        self._init_timeout = init_timeout
        self._connections: set[Connection] = set()

    @property
    def connection_count(self) -> int:
        """Websockets that are open."""
        return len(self._connections)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection until either side ends it."""
        await receive()  # websocket.connect
        if SUBPROTOCOL not in scope.get("subprotocols", ()):
            # A close code reaches the client only after the handshake.
            await send({"type": "websocket.accept"})
            code, reason = Close.SUBPROTOCOL_NOT_ACCEPTABLE.value
            await send({"type": "websocket.close", "code": code, "reason": reason})
            return
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        header = headers_of(scope).get(b"authorization")
        authorization = None if header is None else header.decode("latin-1")
        connection = Connection(self._service, self._access, authorization, receive, send, self._init_timeout)
        self._connections.add(connection)
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)

    def shut_down(self) -> None:
        """Completes every subscription and closes every connection."""
        for connection in tuple(self._connections):
            connection.shut_down()


class Connection:
    """One websocket: its state, and a task for each operation under way."""

    def __init__(
        self,
        service: Service,
        access: Access,
        authorization: str | None,
        receive: Receive,
        send: Send,
        init_timeout: float,
    ) -> None:
        self._service = service
        self._access = access
        self._authorization = authorization
        self._rights = Rights.READ
        self._receive = receive
        self._send = send
        self._init_timeout = init_timeout
        self._state = State.CONNECTING
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._leaving = asyncio.Event()

    async def serve(self) -> None:
        """Reads messages until the client goes, the server shuts down, or the protocol is broken."""
        reading = asyncio.ensure_future(self._read())
        leaving = asyncio.ensure_future(self._leaving.wait())
        try:
            await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
            _raise_for_end(reading)
        except Closing as closing:
            await self._end_operations(complete=closing.code == Close.GOING_AWAY.value[0])
            with contextlib.suppress(OSError, RuntimeError):  # the client may be gone before we are
                await self._send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})
        finally:
            reading.cancel()
            leaving.cancel()
            await asyncio.gather(reading, leaving, return_exceptions=True)
            await self._end_operations(complete=False)

    def shut_down(self) -> None:
        """Ends the connection from this side."""
        self._leaving.set()

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(self._init_timeout):
                await self._initialise()
        except TimeoutError:
            raise Closing(Close.INIT_TIMEOUT) from None
        while (message := await self._next()) is not None:
            await self._handle(message)

    async def _initialise(self) -> None:
        while self._state is State.CONNECTING:
            message = await self._next()
            if message is None:
                return
            match message["type"]:
                case "connection_init":
                    self._admit(_payload(message))
                    self._state = State.READY
                    await self._write({"type": "connection_ack"})
                case "ping":
                    await self._pong(message)
                case "pong":
                    pass
                case kind:
                    raise Closing(Close.UNAUTHORIZED if kind == "subscribe" else Close.BAD_REQUEST)

    def _admit(self, payload: Mapping[str, Any] | None) -> None:
        try:
            self._rights = self._access.rights(authorization_in(payload) or self._authorization)
        except Unauthorized:
            raise Closing(Close.FORBIDDEN) from None

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
                await self._complete(_id(message))
            case _:
                raise Closing(Close.BAD_REQUEST, f"Unknown message type {str(message['type'])[:40]!r}")

    async def _next(self) -> Mapping[str, Any] | None:
        """The next message; None once the client has gone."""
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            return None
        text = event.get("text")
        if text is None:
            raise Closing(Close.BAD_REQUEST, "Messages must be text")
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise Closing(Close.BAD_REQUEST, "Messages must be JSON") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Closing(Close.BAD_REQUEST, "Messages must be objects with a string 'type'")
        return message

    async def _pong(self, message: Mapping[str, Any]) -> None:
        payload = _payload(message)
        await self._write({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})

    async def _subscribe(self, message: Mapping[str, Any]) -> None:
        id_ = _id(message)
        if id_ in self._operations:
            raise Closing(Close.SUBSCRIBER_EXISTS, f"Subscriber for {id_[:40]} already exists")
        try:
            request = parse_request(message.get("payload"))
        except BadRequest as error:
            raise Closing(Close.BAD_REQUEST, error.message) from None
        task = asyncio.create_task(self._run(id_, request), name=f"operation {id_[:40]}")
        self._operations[id_] = task
        task.add_done_callback(lambda done: self._forget(id_, done))

    def _forget(self, id_: str, done: asyncio.Task[None]) -> None:
        if self._operations.get(id_) is done:
            del self._operations[id_]

    async def _complete(self, id_: str) -> None:
        task = self._operations.pop(id_, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self, id_: str, request: GraphQLRequest) -> None:
        prepared = self._service.prepare(request)
        rights = self._rights
        if isinstance(prepared, Reply):
            await self._refuse(id_, prepared)
        elif prepared.is_subscription:
            await self._stream(id_, prepared, rights)
        else:
            await self._answer(id_, await self._service.answer(prepared, rights))

    async def _stream(self, id_: str, prepared: Prepared, rights: Rights) -> None:
        head, tail = _frame(id_, "next")
        async with self._service.subscribe(prepared, rights) as subscriber:
            async for answer in subscriber:
                if answer.failed and subscriber.is_first:
                    # Nothing could be subscribed to: for the protocol the operation did not begin.
                    await self._refuse(id_, Reply(Outcome.REFUSED, answer.payload))
                    return
                await self._text(head + answer.payload.decode() + tail)
        await self._finish(id_)

    async def _answer(self, id_: str, reply: Reply) -> None:
        if reply.outcome is not Outcome.EXECUTED:
            await self._refuse(id_, reply)
            return
        head, tail = _frame(id_, "next")
        await self._text(head + reply.payload.decode() + tail)
        await self._finish(id_)

    async def _refuse(self, id_: str, reply: Reply) -> None:
        errors = orjson.loads(reply.payload)["errors"]
        self._operations.pop(id_, None)
        await self._write({"id": id_, "type": "error", "payload": errors})

    async def _finish(self, id_: str) -> None:
        # The id is free again before the client learns of it.
        self._operations.pop(id_, None)
        await self._write({"id": id_, "type": "complete"})

    async def _end_operations(self, *, complete: bool) -> None:
        ended = dict(self._operations)
        self._operations.clear()
        for task in ended.values():
            task.cancel()
        await asyncio.gather(*ended.values(), return_exceptions=True)
        if complete:
            for id_ in ended:
                await self._write({"id": id_, "type": "complete"})

    async def _write(self, message: Mapping[str, Any]) -> None:
        await self._text(orjson.dumps(message).decode())

    async def _text(self, text: str) -> None:
        # Bytes would make a binary frame, which clients of this protocol reject.
        await self._send({"type": "websocket.send", "text": text})


def _raise_for_end(reading: asyncio.Future[None]) -> None:
    """Raises what ended the reading; if nothing did, it is this server that leaves."""
    if not reading.done():
        raise Closing(Close.GOING_AWAY)
    reading.result()


def _frame(id_: str, kind: str) -> tuple[str, str]:
    return f'{{"id":{orjson.dumps(id_).decode()},"type":"{kind}","payload":', "}"


def _id(message: Mapping[str, Any]) -> str:
    id_ = message.get("id")
    if not isinstance(id_, str) or not id_:
        raise Closing(Close.BAD_REQUEST, "The message must have a string 'id'")
    return id_


def _payload(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    payload = message.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise Closing(Close.BAD_REQUEST, "The payload must be an object")
    return payload
