"""The type `HubModel`, the query that finds them, and the mutations that add and remove custom models."""

from typing import Annotated

import strawberry
from strawberry import Parent, argument

from exo_graphql.cluster import state
from exo_graphql.cluster.upstream import HubModel as HubModelValue
from exo_graphql.operations import OperationError as OperationErrorValue
from exo_graphql.schema.context import Info
from exo_graphql.schema.fields import field
from exo_graphql.schema.model import Model
from exo_graphql.schema.operation_error import OperationError, top_level_error

AddResult = state.ModelCard | OperationErrorValue
RemoveResult = str | OperationErrorValue


def _known(root: Parent[HubModelValue], info: Info) -> bool:
    return info.context.latest is not None and root.id in info.context.latest.models


@strawberry.type(description="A model on the hub that exo downloads from.")
class HubModel:
    """`cluster.upstream.HubModel`."""

    id: strawberry.ID = field(description="Id on the hub, for `addModel`.")
    author: str | None = field(description="Who publishes it; null if the hub does not say.")
    downloads: int | None = field(description="Recent downloads from the hub; null if it does not say.")
    likes: int | None = field(description="Likes on the hub; null if it does not say.")
    last_modified: str | None = field(description="When it last changed, as the hub says it; null if it does not.")
    tags: list[str] = field(description="The hub's tags, for example its format and task.")
    known: bool = field(resolver=_known, description="Whether exo's catalogue has it already.")


async def resolve_hub(
    info: Info,
    query: Annotated[str, argument(description="Text in the model's id.")],
    limit: Annotated[int | None, argument(description="At most so many, 1 to 100.")] = 20,
) -> tuple[HubModelValue, ...]:
    """Models on the hub."""
    found = await info.context.operations.search_hub(query, 20 if limit is None else limit)
    if isinstance(found, OperationErrorValue):
        raise top_level_error(found)
    return found


def _model(root: Parent[AddResult]) -> state.ModelCard | None:
    return root if isinstance(root, state.ModelCard) else None


def _model_id(root: Parent[RemoveResult]) -> str | None:
    return root if isinstance(root, str) else None


def _error(root: Parent[AddResult | RemoveResult]) -> OperationErrorValue | None:
    return root if isinstance(root, OperationErrorValue) else None


@strawberry.type(description="Exactly one of model and error is non-null.")
class AddModelPayload:
    """`ModelCard | OperationError`."""

    model: Model | None = field(resolver=_model, description="The model, which the catalogue lists now.")
    error: OperationError | None = field(resolver=_error, description="Why it was not added; null if it was.")


@strawberry.type(description="Exactly one of modelId and error is non-null.")
class RemoveModelPayload:
    """`str | OperationError`."""

    model_id: strawberry.ID | None = field(
        resolver=_model_id, description="Id of the model, which the catalogue does not list any more."
    )
    error: OperationError | None = field(resolver=_error, description="Why it was not removed; null if it was.")


async def add_model(
    info: Info,
    id: Annotated[strawberry.ID, argument(description="Id on the hub, as AUTHOR/NAME.")],  # noqa: A002
) -> AddResult:
    """Adds one."""
    return await info.context.operations.add_model(id)


async def remove_model(
    info: Info,
    id: Annotated[strawberry.ID, argument(description="The model's full id or short name.")],  # noqa: A002
) -> RemoveResult:
    """Removes one."""
    return await info.context.operations.remove_model(id)
