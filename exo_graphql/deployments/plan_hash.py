"""The hash of a deployment's plan: the declaration, and a digest of what it would change, load and unload."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from exo_graphql.deployments.differences import Difference
from exo_graphql.deployments.validation import Declaration
from exo_graphql.operations import Proposal
from exo_graphql.operations.sealed import Sealed, seal, unseal

_KIND = 2
_DECLARATION = TypeAdapter(Declaration)


@dataclass(frozen=True, slots=True)
class DeploymentHash:
    """What a hash says."""

    declared: Declaration
    sealed: Sealed


def signature(plan: Proposal, changes: Sequence[Difference]) -> list[object]:
    """What must be the same when the plan is applied. The nodes are chosen when it is loaded, so they may differ."""
    return [
        plan.fits,
        plan.load_ids,
        sorted(instance.id for instance in plan.unload),
        sorted(instance.id for instance in plan.adopts),
        [[change.argument, change.after] for change in changes],
    ]


def encode(declared: Declaration, plan: Proposal, changes: Sequence[Difference]) -> str:
    """The hash of a plan."""
    return seal(_KIND, _arguments(declared), signature(plan, changes))


def decode(text: str) -> DeploymentHash | None:
    """What a hash says; None if it is none of a deployment's plan."""
    sealed = unseal(text)
    if sealed is None or sealed.kind != _KIND:
        return None
    try:
        declared = _DECLARATION.validate_python(sealed.content)
        # An argument that this version does not know would be lost.
        return DeploymentHash(declared, sealed) if _arguments(declared) == sealed.content else None
    except ValueError:
        return None


def _arguments(declared: Declaration) -> dict[str, Any]:
    arguments: dict[str, Any] = _DECLARATION.dump_python(declared, mode="json", exclude_defaults=True)
    return arguments
