"""Asks exo for the previews that a pure decision needs, and runs the decision beside the event loop.

Which previews a decision needs depends on earlier ones: if exo's first choice is reserved by another operation, the
previews of the nodes where the model would fit are needed instead. So a decision reads `Previews` as if all had been
fetched. If one is missing, it is fetched, and the decision runs again from its beginning. For example a load onto an
idle cluster is decided twice, once to learn the question; with preferred nodes that are full, a kind that exo refuses,
and a first choice that is reserved, five times.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from exo_graphql.cluster.placement_request import NoFit, PlacementRequest
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import PlacementPreview, Upstream
from exo_graphql.operations.choice import Chosen, choice
from exo_graphql.operations.errors import OperationError, PlacementRefused
from exo_graphql.operations.offload import Offload, in_thread
from exo_graphql.operations.plan import NoPlan, Plan
from exo_graphql.operations.planning import holds, plan
from exo_graphql.operations.previews import Previews, Question, Unasked
from exo_graphql.operations.rejection import rejection
from exo_graphql.operations.requests import OperationRequest
from exo_graphql.operations.reservations import Reservation
from exo_graphql.operations.resolution import ResolvedRequest

_T = TypeVar("_T")

# A plan is made again if others reserved its memory while exo was asked. Three times in a row is not to be expected.
ATTEMPTS = 3

Reservations = Callable[[], Sequence[Reservation]]
"""The reservations of the operations that come first, as they are when it is called."""


async def decide(upstream: Upstream, decision: Callable[[Previews], _T], offload: Offload = in_thread) -> _T:
    """The result of a pure decision, once exo has answered all that it needs. Raises what `Upstream` raises.

    `offload` runs it beside the event loop: a search through thousands of groups of nodes takes up to 0.2 s.
    """
    (outcome,) = await decide_all(upstream, (decision,), offload)
    return outcome


async def decide_all(
    upstream: Upstream, decisions: Sequence[Callable[[Previews], _T]], offload: Offload = in_thread
) -> tuple[_T, ...]:
    """The results of several decisions. The previews that they lack are fetched at the same time, each once."""
    answers: dict[Question, tuple[PlacementPreview, ...]] = {}
    made: dict[int, _T] = {}

    def attempt() -> set[Question]:
        """Makes the decisions that can be made; returns what the others lack."""
        lacking: set[Question] = set()
        for number, decision in enumerate(decisions):
            if number not in made:
                try:
                    made[number] = decision(Previews(answers))
                except Unasked as unasked:
                    lacking.add(unasked.question)
        return lacking

    while lacking := tuple(await offload(attempt)):
        found = await asyncio.gather(*(_ask(upstream, question) for question in lacking))
        answers.update(zip(lacking, found, strict=True))
    return tuple(made[number] for number in range(len(decisions)))


async def _ask(upstream: Upstream, question: Question) -> tuple[PlacementPreview, ...]:
    if question.kind is None:
        return await upstream.previews(question.model_id, question.node_ids)
    return (await upstream.preview(question.model_id, *question.kind, question.min_nodes),)


async def choose(
    upstream: Upstream,
    snapshot: Snapshot,
    wanted: PlacementRequest,
    free: Mapping[str, int],
    prefer: Sequence[str] = (),
) -> Chosen | NoFit:
    """`choice`, with what exo answers. Raises what `Upstream` raises."""
    return await decide(upstream, lambda previews: choice(snapshot, wanted, free, previews, prefer))


async def planned(
    upstream: Upstream,
    snapshot: Snapshot,
    request: OperationRequest,
    resolved: ResolvedRequest,
    reservations: Reservations,
    prefer: Mapping[str, Sequence[str]] | None = None,
) -> Plan | OperationError:
    """`plan`, with what exo answers. Raises what `Upstream` raises.

    Returns without another wait after the reservations were last looked at, so that the caller can register its own
    before any other operation is given the same memory.
    """
    for _ in range(ATTEMPTS):
        snapshot, others = _newest(upstream, snapshot, resolved), tuple(reservations())
        outcome = await decide(upstream, partial(outcome_of, snapshot, request, resolved, others, prefer))
        # Held against the newest snapshot: an operation that has ended meanwhile reserves nothing any more, and what
        # it placed takes memory that the plan's own snapshot still shows as free.
        newest = _newest(upstream, snapshot, resolved)
        if isinstance(outcome, OperationError) or holds(outcome, newest, reservations()):
            return outcome
    reason = "Other operations reserved or released memory while exo was asked."
    return PlacementRefused(
        message=f"{' and '.join(resolved.load_ids)} cannot be placed: {reason}", suggestion="Try again.", reason=reason
    )


def outcome_of(
    snapshot: Snapshot,
    request: OperationRequest,
    resolved: ResolvedRequest,
    reservations: Sequence[Reservation],
    prefer: Mapping[str, Sequence[str]] | None,
    previews: Previews,
) -> Plan | OperationError:
    """`plan`, or the error that a request without a plan is rejected with. Raises `Unasked`."""
    outcome = plan(snapshot, request, resolved, reservations, previews, prefer)
    return rejection(snapshot, outcome) if isinstance(outcome, NoPlan) else outcome


def _newest(upstream: Upstream, snapshot: Snapshot, resolved: ResolvedRequest) -> Snapshot:
    """The newest snapshot, unless an election has emptied it."""
    newest = upstream.snapshot
    usable = newest is not None and not newest.stale and all(id_ in newest.models for id_ in resolved.load_ids)
    return newest if newest is not None and usable else snapshot
