"""Weights on nodes: fetch them, stop fetching, remove them; each node answers for itself."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from exo_graphql.cluster.names import label
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Download, DownloadKind
from exo_graphql.cluster.upstream import Upstream, UpstreamError
from exo_graphql.operations.errors import InvalidArgument, OperationConflict, OperationError
from exo_graphql.operations.operation import Operation
from exo_graphql.operations.requests import invalid_name, resolve_model, resolve_nodes
from exo_graphql.operations.resolution import present


@dataclass(frozen=True, slots=True)
class NodeDownloadResult:
    """Whether exo accepted the request for this node; `error` says why not, naming the node."""

    node_id: str
    accepted: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class DownloadsResult:
    """One result for each node; none if there is an `error` of the whole request."""

    results: tuple[NodeDownloadResult, ...] = ()
    error: OperationError | None = None


@dataclass(frozen=True, slots=True)
class _Resolved:
    snapshot: Snapshot
    model_id: str
    node_ids: tuple[str, ...]
    named: bool


async def start(upstream: Upstream, model: str, nodes: Sequence[str] | None) -> DownloadsResult:
    """Fetches the weights; on a node that has them, done."""
    resolved = await _resolve(upstream, model, nodes)
    if isinstance(resolved, OperationError):
        return DownloadsResult(error=resolved)

    def refusal(download: Download | None, name: str) -> str | None:
        if download is None or download.kind is not DownloadKind.FAILED:
            return None
        # exo's coordinator skips a start while its entry says failed; it says pending again within a minute.
        return f"The last download on {name} failed, and exo starts it again only after up to a minute: try again then."

    return await _each(
        resolved, resolved.node_ids, refusal, lambda id_: upstream.start_download(id_, resolved.model_id)
    )


async def cancel(
    upstream: Upstream, model: str, nodes: Sequence[str] | None, active: Sequence[Operation]
) -> DownloadsResult:
    """Stops fetching; what has arrived stays."""
    resolved = await _resolve(upstream, model, nodes)
    error = resolved if isinstance(resolved, OperationError) else _in_use(resolved.model_id, active)
    if isinstance(resolved, OperationError) or error is not None:
        return DownloadsResult(error=error)

    def refusal(download: Download | None, name: str) -> str | None:
        under_way = download is not None and download.kind is DownloadKind.ONGOING
        return None if under_way else f"{name} is not downloading {resolved.model_id}: nothing to cancel."

    busy = _where(resolved, lambda download: download.kind is DownloadKind.ONGOING)
    return await _each(resolved, busy, refusal, lambda id_: upstream.cancel_download(id_, resolved.model_id))


async def delete(
    upstream: Upstream, model: str, nodes: Sequence[str] | None, active: Sequence[Operation]
) -> DownloadsResult:
    """Removes the weights. An instance that uses them keeps running."""
    resolved = await _resolve(upstream, model, nodes)
    error = resolved if isinstance(resolved, OperationError) else _in_use(resolved.model_id, active)
    if isinstance(resolved, OperationError) or error is not None:
        return DownloadsResult(error=error)

    def has_some(download: Download | None) -> bool:
        return download is not None and (download.kind is not DownloadKind.PENDING or bool(download.downloaded_bytes))

    def refusal(download: Download | None, name: str) -> str | None:
        return None if has_some(download) else f"{name} holds nothing of {resolved.model_id}: nothing to delete."

    holding = _where(resolved, has_some)
    return await _each(resolved, holding, refusal, lambda id_: upstream.delete_download(id_, resolved.model_id))


async def _resolve(upstream: Upstream, model: str, nodes: Sequence[str] | None) -> _Resolved | OperationError:
    for argument, name in (("model", model), *(("nodes", name) for name in nodes or ())):
        error = invalid_name(argument, name)
        if error is not None:
            return error
    if nodes is not None and not nodes:
        return InvalidArgument(
            message="The list of nodes is empty.", suggestion="Name nodes, or leave it out.", argument="nodes"
        )
    snapshot = await present(upstream)
    if isinstance(snapshot, OperationError):
        return snapshot
    card = resolve_model(snapshot, model)
    if isinstance(card, OperationError):
        return card
    node_ids = tuple(node.id for node in snapshot.nodes) if nodes is None else resolve_nodes(snapshot, nodes)
    if isinstance(node_ids, OperationError):
        return node_ids
    return _Resolved(snapshot, card.id, node_ids, nodes is not None)


def _in_use(model_id: str, active: Sequence[Operation]) -> OperationConflict | None:
    for operation in active:
        if model_id in operation.load_ids:
            return OperationConflict(
                message=f"Operation {operation.id} ({operation.kind.value}) needs the weights of {model_id}.",
                suggestion="Wait for that operation, or cancel it.",
                operation_id=operation.id,
            )
    return None


def _where(resolved: _Resolved, applies: Callable[[Download], bool]) -> tuple[str, ...]:
    """The named nodes; otherwise those that it applies to, or, if there are none, all: each then has its own error."""
    if resolved.named:
        return resolved.node_ids
    found = [(id_, resolved.snapshot.state.download(id_, resolved.model_id)) for id_ in resolved.node_ids]
    return tuple(id_ for id_, download in found if download is not None and applies(download)) or resolved.node_ids


async def _each(
    resolved: _Resolved,
    node_ids: Sequence[str],
    refusal: Callable[[Download | None, str], str | None],
    send: Callable[[str], Awaitable[None]],
) -> DownloadsResult:
    async def one(node_id: str) -> NodeDownloadResult:
        name = label(resolved.snapshot.state.nodes[node_id])
        reason = refusal(resolved.snapshot.state.download(node_id, resolved.model_id), name)
        if reason is not None:
            return NodeDownloadResult(node_id, accepted=False, error=reason)
        try:
            await send(node_id)
        except UpstreamError as error:
            return NodeDownloadResult(node_id, accepted=False, error=f"{name}: {error}")
        return NodeDownloadResult(node_id, accepted=True)

    return DownloadsResult(tuple(await asyncio.gather(*(one(node_id) for node_id in node_ids))))
