"""The endpoint `/graphql` for websockets, and every connection that it has."""

import asyncio
from contextlib import suppress

from starlette.types import Receive, Scope, Send

from exo_graphql.engine.service import Service
from exo_graphql.transports.asgi import address_of, headers_of
from exo_graphql.transports.auth import Access
from exo_graphql.transports.rules import DEFAULT_TRANSPORT_RULES, TransportRules
from exo_graphql.transports.websocket_connection import Connection

# Seconds that clients have at shutdown to read their close frames.
_SHUTDOWN_SECONDS = 1.0


class WebSocketEndpoint:
    """The endpoint `/graphql` for websockets."""

    def __init__(
        self,
        service: Service,
        access: Access,
        *,
        max_subscriptions: int,
        leaving: asyncio.Event,
        rules: TransportRules = DEFAULT_TRANSPORT_RULES,
    ) -> None:
        """`leaving` is set when the server shuts down."""
        self._service = service
        self._access = access
        self._rules = rules
        self._max_subscriptions = max_subscriptions
        self._connections: set[Connection] = set()
        self._leaving = leaving
        self._empty = asyncio.Event()

    @property
    def connection_count(self) -> int:
        """Websockets that are open."""
        return len(self._connections)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection until either side ends it."""
        header = headers_of(scope).get(b"authorization")
        connection = Connection(
            self._service,
            self._access,
            None if header is None else header.decode("latin-1"),
            address_of(scope),
            receive,
            send,
            max_subscriptions=self._max_subscriptions,
            leaving=self._leaving,
            rules=self._rules,
        )
        self._connections.add(connection)
        try:
            await connection.serve(scope.get("subprotocols", ()))
        finally:
            self._connections.discard(connection)
            if not self._connections:
                self._empty.set()

    async def shut_down(self) -> None:
        """Waits, once `leaving` is set, until every connection is closed, for clients that read their close frames."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SHUTDOWN_SECONDS):
                while self._connections:
                    self._empty.clear()
                    await self._empty.wait()
