"""Answers that may be sent again, with their ETags, for what answers one request by one response."""

from collections.abc import Hashable

from exo_graphql.engine.reply import Outcome, Reply
from exo_graphql.engine.results import Results
from exo_graphql.engine.service import Service
from exo_graphql.transports.conditional import etag_of


class StoredAnswers:
    """The answers of one snapshot, by what each follows from: the rights, and the bytes of the request."""

    def __init__(self, service: Service, results: Results) -> None:
        self._service = service
        self._results = results

    async def get(self, key: Hashable) -> tuple[object, bytes | None]:
        """What answers depend on now (None: nothing can be stored yet), and the stored answer of `key`, if any."""
        if not self._service.has_snapshot:
            return None, None
        await self._service.refresh()
        snapshot = self._service.snapshot
        return snapshot, self._results.get(snapshot, key)

    def put(self, snapshot: object, key: Hashable, key_bytes: int, reply: Reply, body: bytes | None = None) -> None:
        """Stores a reply if it may be sent again, and `snapshot` is still the newest. `body`: what is sent of it."""
        if self._lasts(snapshot, reply):
            content = reply.payload if body is None else body
            self._results.put(snapshot, key, key_bytes + len(content), content)

    def etag(self, snapshot: object, key: Hashable) -> bytes | None:
        """The ETag that was stored for `key`."""
        return self._results.get(snapshot, (key, "etag"))

    def put_etag(self, snapshot: object, key: Hashable, reply: Reply) -> bytes | None:
        """The ETag of a reply, stored where the reply is. None for a refusal: it need not hold for the next request."""
        if reply.outcome is not Outcome.EXECUTED or reply.answer is None:
            return None
        etag = etag_of(reply.answer.signature)
        if self._lasts(snapshot, reply):
            self._results.put(snapshot, (key, "etag"), len(etag), etag)
        return etag

    def _lasts(self, snapshot: object, reply: Reply) -> bool:
        return reply.lasting and snapshot is not None and snapshot == self._service.snapshot
