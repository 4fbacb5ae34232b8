"""The hash of a plan: the request itself, and a digest of what it would do.

It carries the request, so that every server of a cluster can plan it again, without having kept anything. How it is
laid out is in `sealed.py`; the digest holds the plan's `signature`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.operations.errors import OperationError
from exo_graphql.operations.placements import PlacementView
from exo_graphql.operations.plan import Plan
from exo_graphql.operations.proposal import (
    Following,
    Proposal,
    Signature,
    following_proposal,
    nodes_by_model,
    planned_proposal,
    rejected_proposal,
    signature,
)
from exo_graphql.operations.requests import OperationRequest
from exo_graphql.operations.resolution import ResolvedRequest
from exo_graphql.operations.sealed import MAX_CHARACTERS, Sealed, seal, unseal

_KIND = 1
# Characters of a node's id: enough to tell the nodes of a cluster apart, and short in the hash.
_NODE_PREFIX = 6

_REQUEST = TypeAdapter(OperationRequest)


@dataclass(frozen=True, slots=True)
class PlanHash:
    """What a hash says: the request in full ids, where it was to be placed, and the digest of the plan."""

    request: OperationRequest
    prefer: Mapping[str, tuple[str, ...]]
    """By model to load: the beginnings of the ids of its nodes."""
    sealed: Sealed

    def matches(self, signature: Signature) -> bool:
        """Whether that plan is this one."""
        return self.sealed.matches(signature)

    def preferred(self, snapshot: Snapshot) -> dict[str, tuple[str, ...]]:
        """Where it was to be placed, as ids of present nodes. Without the models of which a node is not there."""
        found = {
            model_id: tuple(id_ for begins in prefixes for id_ in snapshot.state.nodes if id_.startswith(begins))
            for model_id, prefixes in self.prefer.items()
        }
        return {model_id: ids for model_id, ids in found.items() if len(ids) == len(self.prefer[model_id])}


def encode(request: OperationRequest, prefer: Mapping[str, tuple[str, ...]], signature: Signature) -> str:
    """The hash of a plan."""
    nodes = {model_id: [id_[:_NODE_PREFIX] for id_ in ids] for model_id, ids in prefer.items()}
    given = _arguments(request)
    return seal(_KIND, [given, nodes] if nodes else [given], signature)


def decode(text: str) -> PlanHash | None:
    """What a hash says; None if it is none of an operation's plan, or was not copied whole."""
    sealed = unseal(text)
    if sealed is None or sealed.kind != _KIND:
        return None
    try:
        given, *nodes = sealed.content
        request = _REQUEST.validate_python(given)
        if _arguments(request) != given or request.deployment is not None or request.instances is not None:
            # An argument that this version does not know, or one that persons' requests do not have.
            return None
        prefer = {str(model_id): tuple(map(str, ids)) for model_id, ids in (nodes[0] if nodes else {}).items()}
        return PlanHash(request, prefer, sealed)
    except (ValueError, TypeError, AttributeError):
        return None


def executable_plan(
    request: OperationRequest,
    outcome: Plan,
    snapshot: Snapshot,
    resolved: ResolvedRequest,
    placements: tuple[PlacementView, ...],
    clears: str | None,
) -> Proposal:
    """The proposal of a plan that can be executed. `clears`: as of `signature`. Here as below with its hash."""
    made = planned_proposal(snapshot, request, resolved, outcome, placements, clears)
    return replace(made, hash=encode(request, nodes_by_model(outcome), signature(request, outcome, clears)))


def following_plan(request: OperationRequest, following: Following) -> Proposal:
    """The proposal where the same load is under way."""
    return replace(following_proposal(following.operation), hash=encode(request, {}, signature(request, following)))


def rejected_plan(
    request: OperationRequest,
    error: OperationError,
    snapshot: Snapshot | None = None,
    resolved: ResolvedRequest | None = None,
    placements: tuple[PlacementView, ...] = (),
    clears: str | None = None,
) -> Proposal:
    """The proposal of a request that would be rejected. Without `resolved` its names are not known to be there."""
    text = encode(request, {}, signature(request, error, clears))
    if len(text) > MAX_CHARACTERS:  # it has more names than are allowed, which nothing can make valid
        text = encode(OperationRequest(request.kind), {}, signature(request, error))
    return replace(rejected_proposal(error, snapshot, resolved, placements), hash=text)


def key_of(shown: PlanHash) -> str:
    """The idempotency key of a plan that is applied without one: the same hash is applied once, however written."""
    return "plan:" + hashlib.sha256(shown.sealed.text.encode()).hexdigest()


def _arguments(request: OperationRequest) -> dict[str, Any]:
    """Those that are not their defaults, as JSON."""
    arguments: dict[str, Any] = _REQUEST.dump_python(request, mode="json", exclude_defaults=True)
    return arguments
