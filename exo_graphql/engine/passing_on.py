"""Mutations at a server that does not lead: the leader's answer, or why there is none."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import Unreachable, Upstream
from exo_graphql.engine.execution import refusal
from exo_graphql.engine.mutations import catalogue_changes, is_repeatable, leader_error
from exo_graphql.engine.prepared import Prepared
from exo_graphql.engine.reply import Outcome, Reply
from exo_graphql.engine.rights import Caller
from exo_graphql.replicas.mutation import Forwarder, LeaderError, Mutation, NoAnswer, TooMany

# Seconds that the leader's answer is held back until the catalogue of this server shows what was changed.
_SHOWN_SECONDS = 2.0


class PassingOn:
    """Passes mutations on. What was checked here (rights, document, cost) is checked there once more."""

    def __init__(self, forwarder: Forwarder, upstream: Upstream, *, trusted_only: bool) -> None:
        """`trusted_only`: whether this server executes only documents that it knows."""
        self._forwarder = forwarder
        self._upstream = upstream
        self._trusted_only = trusted_only

    @property
    def leads(self) -> bool:
        """Whether this server carries them out itself."""
        return self._forwarder.leads

    @staticmethod
    def may_repeat(prepared: Prepared) -> bool:
        """Whether a mutation happens once however often it arrives."""
        return is_repeatable(prepared.document, prepared.operation, prepared.request.variables)

    async def reply(self, prepared: Prepared, caller: Caller) -> Reply | None:
        """The reply to a mutation; None where this server has begun to lead meanwhile."""
        request, document, operation = prepared.request, prepared.document, prepared.operation
        repeatable = self.may_repeat(prepared)
        mutation = Mutation(
            request.query or "",
            request.operation_name,
            request.variables,
            caller.name,
            trusted=request.own or self._trusted_only,
            repeatable=repeatable,
        )
        try:
            answered = await self._forwarder.forward(mutation)
        except LeaderError as error:
            return Reply(_outcome(error), refusal((leader_error(error, document, operation, repeatable=repeatable),)))
        if answered is None:
            return None
        if answered.outcome == Outcome.EXECUTED.value:
            await self._show(catalogue_changes(document, operation, request.variables, answered.payload))
        # A newer leader may know further outcomes: whatever it is, its payload says so.
        return Reply(Outcome.__members__.get(answered.outcome, Outcome.FAULT), answered.payload)

    async def _show(self, models: Iterable[tuple[str, bool]]) -> None:
        """Waits until the catalogue here shows the models that the leader has added or removed."""
        for name, added in models:
            with self._upstream.operation(), suppress(TimeoutError, Unreachable):
                async with asyncio.timeout(_SHOWN_SECONDS):
                    while (snapshot := self._upstream.snapshot) is not None and _lists(snapshot, name) is not added:
                        self._upstream.reread_catalogue()
                        await self._upstream.changed(snapshot)


def _lists(snapshot: Snapshot, name: str) -> bool:
    return any(name in (id_, id_.rpartition("/")[2]) for id_ in snapshot.models)


def _outcome(error: LeaderError) -> Outcome:
    if isinstance(error, NoAnswer):
        return Outcome.UNKNOWN
    return Outcome.OVERLOADED if isinstance(error, TooMany) else Outcome.UNAVAILABLE
