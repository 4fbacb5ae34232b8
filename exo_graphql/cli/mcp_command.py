"""`exo-graphql mcp`: the Model Context Protocol over stdin and stdout, as a client of a running server."""

import asyncio
import importlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from exo_graphql.cli.client import Client, Lost, Reply
from exo_graphql.cli.failures import Failure
from exo_graphql.documents import Document, document
from exo_graphql.mcp.graph import GraphError, Json


class ServerGraph:
    """A running server, as its clients see it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._may_operate: bool | None = None
        self._may_query: bool | None = None

    async def may_operate(self) -> bool:
        """Whether a mutation is accepted: that which applies no plan, and so changes nothing."""
        if self._may_operate is None:
            answer = await self.ask(document("mcp/may_operate"), {})
            codes = [(error.get("extensions") or {}).get("code") for error in answer.get("errors") or ()]
            # FORBIDDEN by the token; not valid where the server was started with --read-only.
            self._may_operate = not codes
        return self._may_operate

    async def may_query(self) -> bool:
        """Whether a query is accepted that is none of the server's own documents."""
        if self._may_query is None:
            try:
                await self._client.ask(Document("graphql", "{ __typename }"), {})
                self._may_query = True
            except Failure as error:
                self._may_query = error.code != "DOCUMENT_NOT_TRUSTED"
        return self._may_query

    async def ask(self, document: Document, variables: Mapping[str, Any], *, read_only: bool = False) -> Json:
        """The answer. A query that the client wrote itself is checked before (`call.is_read_only`)."""
        del read_only
        try:
            return _body(await self._client.ask(document, variables))
        except Failure as error:
            if error.code == "FORBIDDEN":
                return {"errors": [{"message": error.message, "extensions": {"code": error.code}}]}
            raise GraphError(error.code or error.default_code or "FAILED", error.message, error.suggestion) from error

    async def follow(self, document: Document, variables: Mapping[str, Any]) -> AsyncGenerator[Json]:
        """The messages of a subscription; a broken connection is made anew."""
        try:
            async with aclosing(self._client.follow(document, variables)) as messages:
                async for message in messages:
                    if isinstance(message, Lost):
                        if message.ended:
                            return
                        continue
                    yield _body(message)
        except Failure as error:
            raise GraphError(error.code or error.default_code or "FAILED", error.message, error.suggestion) from error


def _body(reply: Reply) -> Json:
    return {"data": reply.data, **({"errors": list(reply.errors)} if reply.errors else {})}


def serve(client: Client) -> None:
    """Serves until stdin is closed. Raises `Failure` where the SDK is not installed, or cannot be used."""
    try:
        importlib.import_module("exo_graphql.mcp.server")
    except ImportError as error:
        raise Failure(
            f"The package `mcp` is not installed, or not in a version that this program knows: {error}.",
            "Install it with: pip install 'exo-graphql[mcp]'",
            "MCP_NOT_INSTALLED",
        ) from error
    asyncio.run(_serve(client))


async def _serve(client: Client) -> None:
    from mcp.server.stdio import stdio_server

    from exo_graphql.mcp.server import build

    async with client, stdio_server() as (reading, writing):
        graph = ServerGraph(client)
        server = build(lambda _: graph)
        await server.run(reading, writing, server.create_initialization_options())
