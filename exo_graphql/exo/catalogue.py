"""The models that exo knows by name (`GET /models`), kept beside the state: a model need not be on any node."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from exo_graphql.cluster.state import ModelCard
from exo_graphql.cluster.upstream import UpstreamError
from exo_graphql.exo.answers import NotACatalogue, parse_catalogue
from exo_graphql.exo.endpoints import Endpoint
from exo_graphql.exo.pacing import PollerRules

logger = logging.getLogger(__name__)


class Catalogue:
    """The cards as last read: at each new connection, and every `catalogue_every` seconds while there is demand."""

    def __init__(self, rules: PollerRules, changed: Callable[[], None]) -> None:
        self.cards: Mapping[str, ModelCard] = {}
        """By id; the same object while nothing in it changes."""
        self.body: bytes | None = None
        """As exo sent them last (60 kB)."""
        self.number = 0
        """Increases with each other answer."""
        self._rules = rules
        self._changed = changed
        """Called when a card has come, gone or changed."""
        self._endpoint: Endpoint | None = None
        """Where it was last read, or is to be read. Another one may be an exo with other cards."""
        self._due_at = float("-inf")
        """When it is read again, by the event loop's clock."""
        self._copied: str | None = None
        """What the server that is followed called the catalogue that was read there last."""
        self._wanted: str | None = None
        """What it calls the one that it has now."""
        self._is_read = asyncio.Event()
        """Set with each read."""
        self._due = asyncio.Event()
        """Set when it is to be read now."""

    def after_a_read(self, endpoint: Endpoint, copied: str | None = None, *, has_demand: bool) -> None:
        """A state was read through `endpoint`. If the catalogue is due, it is read now, between two reads.

        `copied`: what another server calls its catalogue. It is read there whenever it is another one.
        """
        self._wanted = copied
        another = copied is not None and copied != self._copied and endpoint is self._endpoint
        due = has_demand and copied is None and asyncio.get_running_loop().time() >= self._due_at
        if endpoint is not self._endpoint or another or due:
            self._endpoint = endpoint
            self._due.set()

    async def current(self) -> None:
        """Waits until the catalogue is the one that the server has which is followed."""
        while self._wanted is not None and self._wanted != self._copied:
            self._is_read.clear()
            await self._is_read.wait()

    def request(self) -> None:
        """Reads it again now, unless it never was read."""
        if self._endpoint is not None:
            self._due.set()

    async def keep(self) -> None:
        """Reads it whenever it is due. Runs until it is cancelled; after a failure the old cards stay."""
        loop = asyncio.get_running_loop()
        while True:
            await self._due.wait()
            self._due.clear()
            if self._endpoint is None:
                continue
            wanted = self._wanted
            try:
                body = await self._endpoint.client.models(self._rules.read_timeout)
                cards = parse_catalogue(body)
            except (UpstreamError, NotACatalogue) as error:
                logger.info("exo's catalogue could not be read: %s", error)
                self._due_at = loop.time() + self._rules.catalogue_retry
                continue
            self._due_at = loop.time() + self._rules.catalogue_every
            self._copied = wanted
            self._is_read.set()
            if cards != self.cards:
                self.cards, self.body = cards, body
                self.number += 1
                self._changed()
