"""All webhooks: each has a task of its own, so that none holds up another one or anything else."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Self

import httpx

from exo_graphql import __version__
from exo_graphql.cluster.moment import Moment
from exo_graphql.events.log import EventLog
from exo_graphql.storage import Collection, Store, StoreError
from exo_graphql.webhooks.delivery import Delivery
from exo_graphql.webhooks.names import NameLookup
from exo_graphql.webhooks.records import Progress, decode
from exo_graphql.webhooks.target import Target
from exo_graphql.webhooks.webhook import Result

log = logging.getLogger(__name__)


class Webhooks:
    """Delivers while entered (`async with`), with a store that is open and a log of events that has been entered."""

    def __init__(
        self,
        targets: Sequence[Target],
        secrets: Sequence[str],
        events: EventLog,
        store: Store,
        *,
        now: Callable[[], Moment],
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Every message is signed by each of `secrets`. `transport` reaches receivers in this process."""
        self._targets = targets
        self._secrets = secrets
        self._events = events
        self._store = store
        self._now = now
        self._tls = tls
        self._transport = transport
        self._deliveries: tuple[Delivery, ...] = ()
        self._clients = AsyncExitStack()
        self._running = AsyncExitStack()
        """While this server delivers."""
        self._is_delivering = False

    async def __aenter__(self) -> Self:
        await self.lead()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Its share in the roles of this server: see `replicas.Part`

    async def follow(self) -> None:
        """Shows how far the leader is. Raises `StoreError`."""
        await self._read()

    async def changed(self, changes: Mapping[Collection, frozenset[str] | None]) -> None:
        """Shows how far the leader is by now. Raises `StoreError`."""
        if Collection.WEBHOOKS in changes:
            await self._read()

    async def refresh(self) -> None:
        """Nothing: no mutation changes them."""

    async def lead(self) -> None:
        """Delivers. A target that is new gets the events from now on. Raises `StoreError`."""
        if not self._targets:
            return
        unknown = await self._read()
        try:
            # At once: after a SIGKILL the next process must not take a target for new.
            for delivery in self._deliveries:
                await delivery.save()
            await self._store.forget(Collection.WEBHOOKS, unknown)
        except StoreError as error:
            log.warning("The progress of webhooks cannot be written (%s).", error)
        self._is_delivering = True
        self._running.enter_context(self._events.listen(lambda _: self._wake()))
        for delivery in self._deliveries:
            task = asyncio.create_task(delivery.run(), name=f"webhook {delivery.target.name}")
            self._running.push_async_callback(_end, delivery, task)

    async def rest(self) -> None:
        """Delivers no more. Whoever goes on sends again what was delivered within the last second."""
        self._is_delivering = False
        await self._running.aclose()

    async def close(self) -> None:
        """The same at the end of this server, which notes how far it is."""
        delivered = self._is_delivering
        await self.rest()
        for delivery in self._deliveries if delivered else ():
            with suppress(StoreError):
                await delivery.save()
        await self._clients.aclose()

    async def _read(self) -> list[str]:
        """Resumes each delivery from the store; returns the ids of those that are not configured any more."""
        if not self._targets:
            return []
        entries = {entry.id: entry for entry in await self._store.entries(Collection.WEBHOOKS)}
        number = max((entry.sequence for entry in entries.values()), default=0)
        known = {delivery.target.id: delivery for delivery in self._deliveries}
        deliveries = []
        for target in self._targets:
            entry = entries.pop(target.id, None)
            number += 1
            sequence = number if entry is None else entry.sequence
            progress = (None if entry is None else decode(entry)) or Progress(self._events.last_sequence)
            delivery = known.get(target.id)
            if delivery is None:
                client = await self._clients.enter_async_context(self._client())
                delivery = Delivery(
                    target,
                    sequence,
                    progress,
                    client=client,
                    secrets=self._secrets,
                    events=self._events,
                    store=self._store,
                    now=self._now,
                    lookup=NameLookup(target.url) if self._transport is None else None,
                )
            else:
                delivery.resume(sequence, progress)
            deliveries.append(delivery)
        self._deliveries = tuple(deliveries)
        return list(entries)

    def all(self) -> tuple[Delivery, ...]:
        """How each of them is doing."""
        return self._deliveries

    async def test(self, name: str | None = None) -> list[tuple[Delivery, Result]]:
        """Sends a test message to the webhook of that name, or to all at the same time."""
        tested = [each for each in self._deliveries if name is None or each.target.name == name]
        return list(zip(tested, await asyncio.gather(*(each.test() for each in tested)), strict=True))

    def _wake(self) -> None:
        for delivery in self._deliveries:
            delivery.wake()

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=self._transport,
            # Without a context of trusted authorities nothing is trusted.
            verify=self._tls if self._tls is not None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            timeout=None,  # noqa: S113  # `attempt` has one for all of it
            limits=httpx.Limits(max_connections=2, max_keepalive_connections=1),
            headers={"user-agent": f"exo-graphql/{__version__}"},
        )


async def _end(delivery: Delivery, task: asyncio.Task[None]) -> None:
    delivery.end()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
