"""Models of the hub: found, added to exo's catalogue as custom models, and removed from it again.

exo answers before its cluster knows, so each change is confirmed: the model is in the catalogue, or is gone from it.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import ModelCard
from exo_graphql.cluster.upstream import HubModel, Refused, Unreachable, Upstream
from exo_graphql.operations.errors import (
    HubUnavailable,
    InvalidArgument,
    ModelNotAdded,
    ModelNotCustom,
    OperationConflict,
    OperationError,
    no_answer,
)
from exo_graphql.operations.operation import Operation
from exo_graphql.operations.requests import invalid_name, resolve_model
from exo_graphql.operations.resolution import present

MAX_RESULTS = 100
# Seconds until a change is seen in the catalogue; exo's other nodes learn of it within about a second.
CONFIRM_SECONDS = 15.0
# Seconds between two reads of the catalogue meanwhile.
_READ_EVERY = 0.5


async def search(upstream: Upstream, query: str, limit: int) -> tuple[HubModel, ...] | OperationError:
    """What exo finds on the hub, the most downloaded first."""
    if not 1 <= limit <= MAX_RESULTS:
        return InvalidArgument(
            message=f"The limit is {limit}.", suggestion=f"Use 1 to {MAX_RESULTS}.", argument="limit"
        )
    if len(query) > 256:
        return InvalidArgument(message="The query is too long.", suggestion="Use 256 characters.", argument="query")
    try:
        return await upstream.search_hub(query.strip(), limit)
    except Refused as error:
        return _hub(error)
    except Unreachable as error:
        return _hub(error)


async def add(upstream: Upstream, model_id: str) -> ModelCard | OperationError:
    """The model, once the catalogue lists it. One that it lists already is left as it is."""
    error = invalid_name("id", model_id)
    if error is not None:
        return error
    model_id = model_id.strip()
    if model_id.count("/") != 1 or model_id.startswith("/") or model_id.endswith("/"):
        return InvalidArgument(
            message=f"{model_id!r} is not the id of a model on the hub.",
            suggestion="Give it as AUTHOR/NAME; searchHub finds it.",
            argument="id",
        )
    snapshot = await present(upstream)
    if isinstance(snapshot, OperationError):
        return snapshot
    known = snapshot.models.get(model_id)
    if known is not None:
        return known
    try:
        await upstream.add_model(model_id)
    except Unreachable as failure:
        return no_answer(failure, snapshot.observed_at)
    except Refused as refused:
        return ModelNotAdded(
            message=f"exo could not add {model_id}: {refused}",
            suggestion="Find its exact id with searchHub, and check that exo's nodes can reach the hub.",
            reason=str(refused),
        )
    seen = await _until(upstream, snapshot, model_id, listed=True)
    if seen is None:
        reason = "exo accepted it, but does not list it yet."
        return ModelNotAdded(message=f"{model_id}: {reason}", suggestion="List the models in a minute.", reason=reason)
    return seen.models[model_id]


async def remove(upstream: Upstream, name: str, active: Iterable[Operation]) -> str | OperationError:
    """The id of the custom model, once the catalogue does not list it any more. Its weights and instances stay."""
    error = invalid_name("id", name)
    if error is not None:
        return error
    snapshot = await present(upstream)
    if isinstance(snapshot, OperationError):
        return snapshot
    card = resolve_model(snapshot, name)
    if isinstance(card, OperationError):
        return card
    custom = tuple(other.id for other in snapshot.models.values() if other.is_custom)
    if not card.is_custom:
        return _not_custom(card.id, custom)
    for operation in active:
        if card.id in operation.model_ids:
            return OperationConflict(
                message=f"Operation {operation.id} ({operation.kind.value}) needs {card.id}.",
                suggestion="Wait for that operation, or cancel it.",
                operation_id=operation.id,
            )
    if snapshot.instances_of(card.id):
        return InvalidArgument(
            message=f"{card.id} is loaded.", suggestion="Unload it first, then remove it.", argument="id"
        )
    try:
        await upstream.remove_model(card.id)
    except Unreachable as failure:
        return no_answer(failure, snapshot.observed_at)
    except Refused:
        return _not_custom(card.id, custom)
    if await _until(upstream, snapshot, card.id, listed=False) is None:
        return ModelNotAdded(
            message=f"exo accepted to remove {card.id}, but still lists it.",
            suggestion="List the models in a minute.",
            reason="It is still listed.",
        )
    return card.id


async def _until(upstream: Upstream, snapshot: Snapshot, model_id: str, *, listed: bool) -> Snapshot | None:
    """The first snapshot whose models hold it, or do not hold it; None if none comes in time."""
    with upstream.operation(), suppress(TimeoutError):
        async with asyncio.timeout(CONFIRM_SECONDS):
            while (model_id in snapshot.models) is not listed:
                upstream.reread_catalogue()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_READ_EVERY):
                        snapshot = await upstream.changed(snapshot)
                snapshot = upstream.snapshot or snapshot
            return snapshot
    return None


def _not_custom(model_id: str, custom: tuple[str, ...]) -> ModelNotCustom:
    advice = (
        "Remove one of the custom models." if custom else "There are no custom models; exo brings all others along."
    )
    return ModelNotCustom(message=f"{model_id} is not a custom model.", suggestion=advice, custom=custom)


def _hub(error: Exception) -> HubUnavailable:
    return HubUnavailable(
        message=f"exo could not search the hub: {error}",
        suggestion="Check that exo's nodes can reach the hub, then try again; models of the catalogue need no hub.",
    )
