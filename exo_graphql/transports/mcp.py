"""The endpoint `/mcp`: the Model Context Protocol over Streamable HTTP, for the callers that `/graphql` has.

The SDK is an optional dependency, and importing it takes longer than a server takes to start. So it is imported by the
first request, on a thread; without it each request is answered with how to install it.
"""

import asyncio
import importlib
import importlib.util
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from starlette.types import Receive, Scope, Send

from exo_graphql.documents import Document
from exo_graphql.engine.execution import refusal
from exo_graphql.engine.limits import LimitExceeded
from exo_graphql.engine.reply import Reply
from exo_graphql.engine.requests import GraphQLRequest
from exo_graphql.engine.rights import Caller, Rights
from exo_graphql.engine.service import Service
from exo_graphql.mcp.graph import GraphError, Json
from exo_graphql.schema.errors import NamedError
from exo_graphql.transports.asgi import address_of, headers_of, respond
from exo_graphql.transports.auth import Access, TooManyFailures, Unauthorized
from exo_graphql.transports.refusals import refusal_of

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

logger = logging.getLogger("exo_graphql")

PATH = "/mcp"
_JSON = b"application/json; charset=utf-8"
# Sessions of clients that speak a revision before 2026-07-28; later ones have none.
MAX_SESSIONS = 1_000
# Seconds without a request or an open stream after which a session is closed. Its client begins another one.
SESSION_IDLE_SECONDS = 600.0
# A key of the ASGI scope.
_CALLER = "exo_graphql.caller"


class NotInstalled(NamedError):
    """The SDK is not installed, or cannot be used."""

    def __init__(self) -> None:
        super().__init__(
            "MCP_NOT_INSTALLED",
            "This server does not speak MCP, because the package `mcp` is not installed, or not in a version it knows.",
            "Install it with: pip install 'exo-graphql[mcp]', and start the server again. /graphql needs nothing more.",
        )


class EngineGraph:
    """The engine of this process, for one caller."""

    def __init__(self, service: Service, caller: Caller, *, read_only: bool) -> None:
        self._service = service
        self._caller = caller
        self._read_only = read_only

    async def may_operate(self) -> bool:
        """By the caller's token, unless the server has no mutations."""
        return self._caller.rights is Rights.OPERATE and not self._read_only

    async def may_query(self) -> bool:
        """Unless the server executes trusted documents only."""
        return not self._service.trusted_only

    async def ask(self, document: Document, variables: Mapping[str, Any], *, read_only: bool = False) -> Json:
        """The answer. What a client wrote itself is executed with the rights to read."""
        request = GraphQLRequest(document.text, None, variables, own=not read_only)
        prepared = await self._service.prepare(request)
        if isinstance(prepared, Reply):
            return _decoded(prepared.payload)
        if prepared.is_subscription:
            raise GraphError("READ_ONLY", "A subscription has no single answer.", "Use a query.")
        caller = Caller(Rights.READ, self._caller.name) if read_only else self._caller
        return _decoded((await self._service.answer(prepared, caller)).payload)

    async def follow(self, document: Document, variables: Mapping[str, Any]) -> AsyncGenerator[Json]:
        """The messages of a subscription."""
        prepared = await self._service.prepare(GraphQLRequest(document.text, None, variables, own=True))
        if isinstance(prepared, Reply):
            yield _decoded(prepared.payload)
            return
        try:
            async with self._service.subscribe(prepared, self._caller) as subscriber:
                async for answer in subscriber:
                    yield _decoded(answer.payload)
        except LimitExceeded as error:
            yield _decoded(refusal((error,)))


def _decoded(payload: bytes) -> Json:
    body: Json = orjson.loads(payload)
    return body


class McpEndpoint:
    """Answers `/mcp`. Use as `async with`: leaving ends all sessions."""

    def __init__(self, service: Service, access: Access, *, max_body_bytes: int, read_only: bool) -> None:
        self._service = service
        self._access = access
        self._max_body_bytes = max_body_bytes
        self._read_only = read_only
        self._starting: asyncio.Task[StreamableHTTPSessionManager | None] | None = None
        self._serving: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()

    async def __aenter__(self) -> "McpEndpoint":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()
        for task in (self._starting, self._serving):
            if task is not None:
                await asyncio.gather(task, return_exceptions=True)

    def end(self) -> None:
        """Ends all sessions and streams; their clients connect again."""
        self._leaving.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        try:
            header = headers_of(scope).get(b"authorization")
            authorization = None if header is None else header.decode("latin-1")
            caller = self._access.caller(authorization, address_of(scope))
        except (Unauthorized, TooManyFailures) as error:
            status, reported, headers = refusal_of(error, b"GET, POST, DELETE")
            await respond(send, status, refusal((reported,)), _JSON, headers)
            return
        manager = await self._manager()
        if manager is None:
            await respond(send, 501, refusal((NotInstalled(),)), _JSON)
            return
        await manager.handle_request({**scope, _CALLER: caller}, receive, send)

    async def _manager(self) -> "StreamableHTTPSessionManager | None":
        if self._starting is None:
            self._starting = asyncio.create_task(self._start(), name="mcp: starting")
        return await asyncio.shield(self._starting)

    async def _start(self) -> "StreamableHTTPSessionManager | None":
        if self._leaving.is_set() or importlib.util.find_spec("mcp") is None:
            return None
        try:
            server = await asyncio.to_thread(importlib.import_module, "exo_graphql.mcp.server")
            sessions = await asyncio.to_thread(importlib.import_module, "mcp.server.streamable_http_manager")
        except ImportError:
            logger.exception("The package `mcp` cannot be imported.")  # once: this task's result is kept
            return None
        manager: StreamableHTTPSessionManager = sessions.StreamableHTTPSessionManager(
            server.build(self._graph_of),
            max_request_body_size=self._max_body_bytes,
            max_sessions=MAX_SESSIONS,
            session_idle_timeout=SESSION_IDLE_SECONDS,
        )
        begun = asyncio.Event()
        self._serving = asyncio.create_task(self._run(manager, begun), name="mcp: sessions")
        await begun.wait()
        return manager

    async def _run(self, manager: "StreamableHTTPSessionManager", begun: asyncio.Event) -> None:
        # The SDK's sessions belong to one task, which also ends them.
        async with manager.run():
            begun.set()
            await self._leaving.wait()

    def _graph_of(self, ctx: Any) -> EngineGraph:
        caller: Caller = ctx.request.scope[_CALLER]
        return EngineGraph(self._service, caller, read_only=self._read_only)
