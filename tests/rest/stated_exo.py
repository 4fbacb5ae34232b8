"""An exo that answers one given state, and the server over it: for routes that only read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
from starlette.types import Receive, Scope, Send

from exo_graphql.transports.asgi import respond
from tests.support.replay import Upstream
from tests.support.running import Running, running

NODE_ID = "the-node-that-answers"


class StatedExo:
    """An exo in this state."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answers what a server reads; an index that grows shows that the master lives."""
        if scope["type"] != "http":
            return
        answers = {"/node_id": NODE_ID, "/models": {"data": []}, "/state": self.state}
        found = scope["path"] in answers
        body = orjson.dumps(answers.get(scope["path"], {"detail": "Not Found"}))
        await respond(send, 200 if found else 404, body, b"application/json")


@asynccontextmanager
async def over(state: dict[str, Any], **settings: Any) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    """A server over this state, and a client of it."""
    upstream = Upstream(StatedExo(state))  # type: ignore[arg-type]  # any ASGI application
    await upstream.start()
    try:
        async with running(demo=False, exo_url=(f"http://127.0.0.1:{upstream.port}",), **settings) as server:
            await server.components.poller.fresh()
            async with client_of(server) as client:
                yield server, client
    finally:
        await upstream.stop()


def client_of(server: Running, **headers: str) -> httpx.AsyncClient:
    """A client of the server's root."""
    base = server.url.removesuffix("/graphql")
    return httpx.AsyncClient(base_url=base, trust_env=False, headers=headers)
