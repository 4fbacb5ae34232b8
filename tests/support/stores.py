"""Stores of servers that share one database, as a pytest plugin.

Their leases outlast every test, however long a busy machine holds it up. A test in which one ends sets the clock of its
servers on, or gives one of them `QUICK` rules where the time itself is the point.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from exo_graphql import clock
from exo_graphql.storage import Leadership, Store
from exo_graphql.storage.lease_rules import LeaseRules
from exo_graphql.storage.postgres import PostgresStore
from tests.support.running import until

LASTING = LeaseRules(duration=20.0, renew_every=0.2)
QUICK = LeaseRules(duration=0.6, renew_every=0.2)


class Make(Protocol):
    """Makes the store of one more server, not yet open."""

    def __call__(
        self,
        name: str = "one",
        *,
        url: str | None = None,
        namespace: str = "default",
        rules: LeaseRules = LASTING,
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
            rules: LeaseRules = LASTING,
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


@dataclass
class SetClock:
    """The clock of servers on machines that sleep: set on by hand."""

    ahead: float = 0.0
    still: float | None = None
    """What it shows, if it does not move."""

    def __call__(self) -> float:
        return clock.elapsed() + self.ahead if self.still is None else self.still


async def until_leadership(store: Store, holds: Callable[[Leadership], bool], seconds: float = 20.0) -> None:
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


async def until_leads(store: Store, *, leads: bool = True, seconds: float = 20.0) -> None:
    """Waits until that server leads, or does not lead any more."""
    await until_leadership(store, lambda leadership: leadership.leads is leads, seconds)


async def stopped(store: PostgresStore) -> None:
    """As if its process had been stopped: it renews nothing, hears nothing, and gives nothing up."""
    for task in (store._leadership._renewing, store._listener._listening):
        assert task is not None
        task.cancel()
        await asyncio.wait([task])


async def until_renewed(store: PostgresStore) -> None:
    """Waits until its lease is renewed: it then lasts longer by the time since the last renewal."""
    held = store._lease.held
    assert held is not None
    await until(lambda: store._lease.held is not None and store._lease.held.until > held.until)


async def listens_alone(store: PostgresStore) -> None:
    """From now on it hears what others write, and does not look at versions, which a late notification would follow."""
    assert store._leadership._renewing is not None
    store._leadership._renewing.cancel()
    await asyncio.wait([store._leadership._renewing])
