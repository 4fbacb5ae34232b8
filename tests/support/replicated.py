"""Whole servers in the test's event loop that share a store, each at a port of its own, with real HTTP between them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import httpx

from tests.support.running import Running, running
from tests.support.shared_store import SharedState, SharedStore


@dataclass(frozen=True, slots=True)
class Replicated:
    """Servers that share a store; the first one leads until the test says otherwise."""

    state: SharedState
    servers: list[Running]

    def __iter__(self) -> Any:
        return iter(self.servers)

    def lead(self, number: int | None) -> None:
        """From now on this one leads; None: nobody does."""
        self.state.lead(None if number is None else self.state.stores[number])

    def store(self, number: int) -> SharedStore:
        """Of this server."""
        return self.state.stores[number]


@asynccontextmanager
async def replicated(*each: dict[str, Any], url: str | None = None, **given: Any) -> AsyncIterator[Replicated]:
    """As many servers as there are `each`, with the settings `given` and its own. `url`: what each advertises."""
    state = SharedState()
    servers: list[Running] = []
    stores = [state.store(f"server-{number}") for number in range(len(each))]
    state.leader = stores[0]

    @asynccontextmanager
    async def rest() -> AsyncIterator[None]:
        if len(servers) == len(each):
            yield
            return
        number = len(servers)
        stores[number].leadership.url = url
        with patch("exo_graphql.app.store_of", return_value=stores[number]):
            entering = running(**given | each[number])
            made = await entering.__aenter__()
        try:
            stores[number].leadership.url = url or f"http://127.0.0.1:{made.port}"
            servers.append(made)
            async with rest():
                yield
        finally:
            await entering.__aexit__(None, None, None)

    try:
        async with rest():
            state.lead(state.leader)  # all know each other's address
            yield Replicated(state, servers)
    finally:
        await state.sqlite.close()


async def ask(server: Running, query: str, token: str | None = None, **variables: object) -> httpx.Response:
    """The answer of GraphQL over HTTP."""
    headers = {"accept": "application/graphql-response+json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    async with httpx.AsyncClient(trust_env=False, headers=headers, timeout=30) as client:
        return await client.post(server.url, json={"query": query, "variables": variables})
