"""Stores of servers that share one database, as a pytest plugin. Their leases are short: take-overs are quick."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from exo_graphql import clock
from exo_graphql.storage import Leadership, Store
from exo_graphql.storage.lease_rules import LeaseRules
from exo_graphql.storage.postgres import PostgresStore

QUICK = LeaseRules(duration=0.6, renew_every=0.2)


class Make(Protocol):
    """Makes the store of one more server, not yet open."""

    def __call__(
        self,
        name: str = "one",
        *,
        url: str | None = None,
        namespace: str = "default",
        rules: LeaseRules = QUICK,
        elapsed: Callable[[], float] = clock.elapsed,
        journal: Path | None = None,
        address: str | None = None,
    ) -> PostgresStore:
        """By default `url` is that of the test's database, and `address` is made of the name."""
        ...


@pytest.fixture
async def make(database: str) -> AsyncIterator[Make]:
    """Makes stores of the test's database; all are closed after the test."""
    async with AsyncExitStack() as stores:

        def made(
            name: str = "one",
            *,
            url: str | None = None,
            namespace: str = "default",
            rules: LeaseRules = QUICK,
            elapsed: Callable[[], float] = clock.elapsed,
            journal: Path | None = None,
            address: str | None = None,
        ) -> PostgresStore:
            store = PostgresStore(
                url or database,
                namespace,
                elapsed=elapsed,
                name=name,
                address=address or f"http://{name}:52416",
                rules=rules,
                journal=journal,
            )
            stores.push_async_callback(store.close)
            return store

        yield made


async def until_leadership(store: Store, holds: Callable[[Leadership], bool], seconds: float = 10.0) -> None:
    """Waits until that holds, as its listeners learn it."""
    changed = asyncio.Event()
    stop = store.leadership.listen(changed.set)
    try:
        async with asyncio.timeout(seconds):
            while not holds(store.leadership):
                await changed.wait()
                changed.clear()
    finally:
        stop()


async def until_leads(store: Store, *, leads: bool = True, seconds: float = 10.0) -> None:
    """Waits until that server leads, or does not lead any more."""
    await until_leadership(store, lambda leadership: leadership.leads is leads, seconds)


async def stopped(store: PostgresStore) -> None:
    """As if its process had been stopped: it renews nothing, hears nothing, and gives nothing up."""
    for task in (store._leadership._renewing, store._listener._listening):
        assert task is not None
        task.cancel()
        await asyncio.wait([task])
