"""Why a deployment is not accepted, beside the errors that operations have."""

from dataclasses import dataclass

from exo_graphql.operations import OperationError


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentNotFound(OperationError):
    """No deployment has this name. `available` are those that exist."""

    available: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentChanged(OperationError):
    """`ifGeneration` is not the present generation: somebody else has changed it."""

    name: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAlreadyDeployed(OperationError):
    """Another deployment has this model: more copies of it are its `replicas`."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentManagedByFile(OperationError):
    """The deployments file declares it: the API may pause and resume it, and not change or delete it."""

    name: str
