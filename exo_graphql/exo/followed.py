"""The server that this one follows: its copy of exo's state is read instead of exo, for as long as it answers.

It is read once it has answered `GET /exo/node_id`, which is tried each second: until then, and when it stops to answer,
exo itself is read. So a server that hangs holds a follower up once, for the time of one read.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress

import httpx

from exo_graphql.exo.client import ExoClient
from exo_graphql.exo.endpoints import Endpoint, Endpoints

logger = logging.getLogger(__name__)


class Followed:
    """Which server is followed. `tls` makes the context for one that is reached by HTTPS."""

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
    ) -> None:
        """`transport` reaches a server in this process; None means the network."""
        self._endpoints = endpoints
        self._transport = transport
        self._tls = tls
        self._known: tuple[str | None, str | None] = (None, None)
        self._keeping: asyncio.Task[None] | None = None
        self._left: list[ExoClient] = []
        """Of servers that are followed no more; a read through one may still be under way."""

    def follow(self, url: str | None, token: str | None) -> bool:
        """Follows the server at `url`, or none. `token` is what it accepts. Whether that is another one than before."""
        if (url, token) == self._known:
            return False
        self._known = url, token
        self._stop()
        if url is not None:
            tls = self._tls() if url.startswith("https:") else None
            client = ExoClient(f"{url.rstrip('/')}/exo", self._transport, tls=tls, token=token)
            endpoint = self._endpoints.copy = Endpoint(client, is_copy=True)
            self._keeping = asyncio.create_task(self._endpoints.keep(endpoint), name="followed server")
        logger.info("Following %s.", "no other server" if url is None else url)
        return True

    async def close_left(self) -> None:
        """Closes the connections to servers that are followed no more; no read is under way."""
        while self._left:
            client = self._left.pop()
            with suppress(Exception):
                await client.aclose()

    async def aclose(self) -> None:
        """Follows no server, and closes the connections."""
        self._known = None, None
        self._stop()
        await self.close_left()

    def _stop(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None
        left, self._endpoints.copy = self._endpoints.copy, None
        if left is not None:
            self._left.append(left.client)
            self._endpoints.trust_exo()
