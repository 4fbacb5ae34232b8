"""The errors of deployments, as types that implement `OperationError`."""

from strawberry import Parent

from exo_graphql.deployments import errors
from exo_graphql.deployments.assess import Assessment
from exo_graphql.schema.context import Info
from exo_graphql.schema.deployment import Deployment
from exo_graphql.schema.error_code import CODES
from exo_graphql.schema.fields import field
from exo_graphql.schema.operation_error import OperationError, publishes


def _deployment(
    root: Parent[errors.DeploymentChanged | errors.DeploymentManagedByFile | errors.ModelAlreadyDeployed], info: Info
) -> Assessment | None:
    return info.context.deployments.get(root.name)


@publishes(errors.DeploymentNotFound, CODES["DEPLOYMENT_NOT_FOUND"])
class DeploymentNotFound(OperationError):
    """`errors.DeploymentNotFound`."""

    available: list[str] = field(description="The names of the deployments that exist.")


@publishes(errors.DeploymentChanged, CODES["DEPLOYMENT_CHANGED"])
class DeploymentChanged(OperationError):
    """`errors.DeploymentChanged`."""

    deployment: Deployment | None = field(
        resolver=_deployment, description="The deployment as it is now; null if there is none."
    )


@publishes(errors.DeploymentManagedByFile, CODES["DEPLOYMENT_MANAGED_BY_FILE"])
class DeploymentManagedByFile(OperationError):
    """`errors.DeploymentManagedByFile`."""

    deployment: Deployment | None = field(resolver=_deployment, description="The deployment as it is now.")


@publishes(errors.ModelAlreadyDeployed, CODES["MODEL_ALREADY_DEPLOYED"])
class ModelAlreadyDeployed(OperationError):
    """`errors.ModelAlreadyDeployed`."""

    deployment: Deployment | None = field(
        resolver=_deployment, description="The deployment that has the model; null once it is deleted."
    )
