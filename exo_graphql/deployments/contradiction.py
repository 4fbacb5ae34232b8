"""Whether a declaration contradicts the deployments that exist. Pure."""

from collections.abc import Sequence

from exo_graphql.deployments.deployment import Deployment, ManagedBy, Spec
from exo_graphql.deployments.errors import DeploymentChanged, DeploymentManagedByFile, ModelAlreadyDeployed
from exo_graphql.deployments.validation import MAX_DEPLOYMENTS
from exo_graphql.operations import InvalidArgument, OperationError


def contradiction(
    stored: Sequence[Deployment], name: str, spec: Spec, if_generation: int | None
) -> OperationError | None:
    """The first contradiction, as an error; None if there is none. `if_generation` 0: the deployment must be new."""
    known = next((deployment for deployment in stored if deployment.name == name and not deployment.deleted), None)
    present = 0 if known is None else known.generation
    if if_generation is not None and present != if_generation:
        return DeploymentChanged(
            message=f"Deployment {name!r} is of generation {present}, not {if_generation}."
            if known is not None
            else f"There is no deployment {name!r}, and so none of generation {if_generation}.",
            suggestion="Read it again, then apply the change to what it is now.",
            name=name,
            generation=present,
        )
    if known is not None and known.managed_by is ManagedBy.FILE and known.spec != spec:
        return managed_by_file(name)
    for other in stored:
        if other.name != name and other.spec.model_id == spec.model_id and not other.deleted:
            return ModelAlreadyDeployed(
                message=f"Deployment {other.name!r} has {spec.model_id} already.",
                suggestion="Change that one. For more copies of a model, set its `replicas`.",
                name=other.name,
            )
    if known is None and len(stored) >= MAX_DEPLOYMENTS:
        return InvalidArgument(
            message=f"There are {MAX_DEPLOYMENTS} deployments.", suggestion="Delete one.", argument="name"
        )
    return None


def managed_by_file(name: str) -> DeploymentManagedByFile:
    """The error for changing or deleting through the API what a file declares."""
    return DeploymentManagedByFile(
        message=f"The deployments file declares {name!r}: it cannot be changed or deleted here.",
        suggestion="Change the file of this server. Pausing and resuming it is possible.",
        name=name,
    )
