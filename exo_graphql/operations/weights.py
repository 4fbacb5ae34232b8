"""Downloading before anything is unloaded: the weights are fetched while the old model still serves."""

from collections.abc import Iterable
from contextlib import suppress

from exo_graphql.cluster.error_text import one_line
from exo_graphql.cluster.names import label
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Download, DownloadKind
from exo_graphql.cluster.units import GIB, MIB, gib, percent
from exo_graphql.cluster.upstream import Refused, UpstreamError
from exo_graphql.operations.abort import Abort
from exo_graphql.operations.errors import DownloadFailed
from exo_graphql.operations.membership import present_ids
from exo_graphql.operations.run import Run
from exo_graphql.operations.settle import settled

Pair = tuple[str, str]
"""Node id and model id."""


def lacking(snapshot: Snapshot, pairs: Iterable[Pair]) -> list[Pair]:
    """Those that the node is known to lack; a node that has reported nothing is not known to lack anything."""
    found = [(pair, snapshot.state.download(*pair)) for pair in pairs]
    return [pair for pair, download in found if download is not None and download.kind is not DownloadKind.COMPLETED]


async def fetch(run: Run, pairs: Iterable[Pair], step: str) -> str:
    """Downloads what is lacking; returns what was done, as a sentence. Raises `Abort` when a download is given up."""
    wanted = list(pairs)
    snapshot = await run.read_now()
    wanted = await _present(run, snapshot, wanted, step)
    if not lacking(snapshot, wanted):
        return "The weights are on every chosen node."
    sent: dict[Pair, float] = {}
    moved: dict[Pair, tuple[int, float]] = {}
    errors: dict[Pair, str] = {}
    while missing := lacking(snapshot, wanted):
        if any(node_id not in snapshot.state.nodes for node_id, _ in wanted):
            wanted = await _present(run, snapshot, wanted, step)
            snapshot = await run.read_now()
            continue
        for pair in missing:
            download = snapshot.state.download(*pair)
            if download is None or snapshot.stale:
                continue
            arrived = download.downloaded_bytes or 0
            if pair not in moved or arrived > moved[pair][0]:
                moved[pair] = (arrived, run.clock())
            if download.kind is DownloadKind.FAILED:
                errors[pair] = one_line(download.error or "exo gave no reason.")
            if pair in errors and run.clock() - moved[pair][1] >= run.rules.give_up_seconds:
                raise Abort(_failed(snapshot, pair, errors[pair]))
            idle = run.clock() - sent.get(pair, -run.rules.resend_seconds) >= run.rules.resend_seconds
            # exo ignores a start while the entry says failed; within a minute it says pending again.
            if download.kind is DownloadKind.PENDING and idle:
                await _start(run, snapshot, pair)
                sent[pair] = run.clock()
        downloads = [d for pair in wanted for d in [snapshot.state.download(*pair)] if d is not None]
        run.progressed(tuple(d.downloaded_bytes for d in downloads if d.kind is not DownloadKind.PENDING))
        run.report(step, _progress(downloads, len(missing)), _percent(downloads))
        snapshot = await run.next(snapshot)
    return "The weights are on every chosen node now."


async def _present(run: Run, snapshot: Snapshot, pairs: list[Pair], step: str) -> list[Pair]:
    """The pairs under the present node ids, once their nodes are back. Raises `Abort` if one does not return."""
    nodes = {node_id for node_id, _ in pairs}
    if not nodes <= snapshot.state.nodes.keys():
        snapshot = await settled(run, snapshot, nodes, step)
    ids = present_ids(run.saga_state.members, snapshot, nodes)
    for pair in pairs:
        if pair[0] not in ids:
            name = run.saga_state.members.get(pair[0]) or pair[0]
            raise Abort(_failed(snapshot, (name, pair[1]), "the node has left the cluster."))
    return [(ids[node_id], model_id) for node_id, model_id in pairs]


async def stop(run: Run) -> None:
    """Stops the downloads that this operation started; what has arrived stays."""
    snapshot = run.upstream.snapshot
    for pair in run.saga_state.fetching:
        download = snapshot.state.download(*pair) if snapshot is not None else None
        if download is None or download.kind is DownloadKind.COMPLETED:
            continue
        # A download that continues does no harm, so this does not wait for an exo that does not answer.
        with suppress(UpstreamError):
            await run.upstream.cancel_download(*pair)


async def _start(run: Run, snapshot: Snapshot, pair: Pair) -> None:
    if pair not in run.saga_state.fetching:
        run.saga_state.fetching.append(pair)
        await run.save()
    try:
        await run.call_exo(lambda: run.upstream.start_download(*pair))
    except Refused as error:
        raise Abort(_failed(snapshot, pair, str(error))) from error


def _failed(snapshot: Snapshot, pair: Pair, reason: str) -> DownloadFailed:
    node = snapshot.state.nodes.get(pair[0])
    return DownloadFailed(
        message=f"{label(node) if node is not None else pair[0]} could not fetch {pair[1]}: {reason}",
        suggestion="Check that the node can reach the model's source and has free disk space, then try again.",
        model_id=pair[1],
    )


def _progress(downloads: list[Download], missing: int) -> str:
    done = sum(d.downloaded_bytes or 0 for d in downloads)
    total = sum(d.total_bytes or 0 for d in downloads)
    known = all(d.total_bytes is not None for d in downloads)
    amount = f"{_size(done)} of {_size(total)}" if known else f"{_size(done)} so far"
    return f"Fetching weights: {amount}, {missing} download{'s' * (missing > 1)} to go; loaded models keep serving."


def _size(size: int) -> str:
    return f"{gib(size)} GiB" if size >= GIB else f"{size / MIB:.1f} MiB"


def _percent(downloads: list[Download]) -> float | None:
    if any(d.total_bytes is None for d in downloads):
        return None
    return percent(sum(d.downloaded_bytes or 0 for d in downloads), sum(d.total_bytes or 0 for d in downloads))
