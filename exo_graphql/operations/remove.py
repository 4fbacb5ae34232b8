"""Removing instances: drain, delete, and wait until the nodes report their memory as free."""

from collections.abc import Callable, Collection, Mapping, Sequence

from exo_graphql.cluster.memory import instance_bytes, untaken_bytes
from exo_graphql.cluster.names import label
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance
from exo_graphql.cluster.units import gib
from exo_graphql.cluster.upstream import Refused
from exo_graphql.operations.abort import Abort
from exo_graphql.operations.errors import UnloadFailed
from exo_graphql.operations.run import Run
from exo_graphql.operations.saga_state import Baseline


async def drain(run: Run, leaving: Callable[[Snapshot], Collection[str]], step: str, seconds: float) -> str:
    """Waits until no inference runs on what is leaving, `seconds` at most; returns what was found, as a sentence.

    `leaving` gives the ids of these instances as of a snapshot: another client may load a copy meanwhile.
    """
    snapshot = await run.read_now()
    until = run.clock() + seconds
    while True:
        ids = leaving(snapshot)
        busy = sum(snapshot.is_active(task) and task.instance_id in ids for task in snapshot.tasks)
        if not busy and not snapshot.stale:
            return "No requests are running any more."
        if run.clock() >= until:
            return f"{_requests(busy)} still running after {seconds:g} s: not waited for any longer."
        run.progressed()
        run.report(step, f"Waiting for {_requests(busy)} to end, {max(0.0, until - run.clock()):.0f} s at most.")
        snapshot = await run.next(snapshot)


def _requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"


def measure(snapshot: Snapshot, instances: Sequence[Instance]) -> dict[str, Baseline]:
    """What the nodes have free now, and the bytes that are to come back when these are gone."""
    expected: dict[str, int] = {}
    for instance in instances:
        untaken = untaken_bytes(instance, snapshot.models, snapshot.state.runners)
        for node_id, size in instance_bytes(instance, snapshot.models).items():
            # Memory that was never taken is not freed.
            expected[node_id] = expected.get(node_id, 0) + size - untaken.get(node_id, 0)
    nodes = snapshot.state.nodes
    return {
        node_id: Baseline(nodes[node_id].ram_available_bytes, size)
        for node_id, size in expected.items()
        if node_id in nodes
    }


def include(baseline: dict[str, Baseline], more: dict[str, Baseline]) -> None:
    """Adds what is expected back from instances that were noticed later. A node's first free memory counts."""
    for node_id, added in more.items():
        if node_id in baseline:
            baseline[node_id].expected += added.expected
        else:
            baseline[node_id] = added


async def delete(run: Run, instances: Sequence[Instance]) -> Snapshot:
    """Sends the deletions until none of these is listed; returns the snapshot that shows it.

    Raises `Abort` when exo keeps listing one.
    """
    snapshot = await run.read_now()
    sent_at: float | None = None
    send_at = run.clock()
    while listed := [i for i in instances if i.id in snapshot.state.instances]:
        if sent_at is not None and run.observation.seconds - sent_at >= run.rules.appear_seconds:
            raise Abort(
                UnloadFailed(
                    message=f"exo accepted to remove {listed[0].model_id} and still lists it.",
                    suggestion="Try again; see exo's log if it happens again.",
                    model_id=listed[0].model_id,
                )
            )
        if run.clock() >= send_at and not snapshot.stale:
            for instance in listed:
                await _delete(run, instance)
            send_at = run.clock() + run.rules.resend_seconds
            sent_at = sent_at if sent_at is not None else run.observation.seconds
            snapshot = await run.read_now()
            continue
        snapshot = await run.next(snapshot)
    run.progressed()
    return snapshot


async def _delete(run: Run, instance: Instance) -> None:
    try:
        # False: exo knows it no more. Whether it is gone, the state will show.
        await run.call_exo(lambda: run.upstream.delete(instance.id))
    except Refused as error:
        raise Abort(
            UnloadFailed(
                message=f"exo refused to remove {instance.model_id}: {error}",
                suggestion="See exo's log.",
                model_id=instance.model_id,
            )
        ) from error


async def memory_back(
    run: Run, baseline: dict[str, Baseline], step: str, enough: Mapping[str, int] | None = None
) -> str | None:
    """Waits until every node reports the memory free again; returns what is missing when the time is over.

    It ends sooner if newer reports show as much free as is `enough` (bytes by node): a model that is to be restored
    must not wait for more memory than it needs.

    Free again means that a node's free memory has risen by `memory_share` of what was expected, or, where that is below
    `small_share` of its RAM, that two newer reports have come. A node that has left the cluster does not count.
    """
    snapshot = await run.read_now()
    until = run.clock() + run.rules.memory_seconds
    reports = {node_id: {_stamp(snapshot, node_id)} for node_id in baseline}
    while True:
        for node_id, stamps in reports.items():
            stamps.add(_stamp(snapshot, node_id))
        missing = {
            node_id: lacking
            for node_id, before in baseline.items()
            for lacking in [_lacking(run, snapshot, node_id, before, len(reports[node_id]) - 1)]
            if lacking is not None
        }
        run.missing = missing
        if not missing:
            return None
        if enough and all(
            _has_free(snapshot, id_, size) and len(reports.get(id_, "")) != 1 for id_, size in enough.items()
        ):
            run.missing = {}
            return None
        clauses = ", ".join(_clause(size, label(snapshot.state.nodes[id_])) for id_, size in missing.items())
        if run.clock() >= until:
            # No longer counted as freed: what is placed next goes by what the nodes report free.
            run.missing = {}
            return f"Not back after {run.rules.memory_seconds:g} s: {clauses}."
        run.progressed()
        run.report(step, f"Waiting for memory to be free again: {clauses}.")
        snapshot = await run.next(snapshot)


def _has_free(snapshot: Snapshot, node_id: str, size: int) -> bool:
    node = snapshot.state.nodes.get(node_id)
    return node is not None and node.ram_available_bytes is not None and node.ram_available_bytes >= size


def _clause(size: int, name: str) -> str:
    return f"{gib(size)} GiB on {name}" if gib(size) else f"a newer report of {name}"


def _lacking(run: Run, snapshot: Snapshot, node_id: str, before: Baseline, newer: int) -> int | None:
    """Bytes that are not back on the node; None when it counts as back."""
    node = snapshot.state.nodes.get(node_id)
    if node is None:
        return None
    small = node.ram_total_bytes is None or before.expected < node.ram_total_bytes * run.rules.small_share
    if small or before.available is None or node.ram_available_bytes is None:
        return None if newer >= 2 else before.expected
    risen = node.ram_available_bytes - before.available
    return None if risen >= before.expected * run.rules.memory_share else before.expected - max(0, risen)


def _stamp(snapshot: Snapshot, node_id: str) -> object:
    """Changes with each report of the node (exo stamps it; memory is the report that comes every second)."""
    node = snapshot.state.nodes.get(node_id)
    return None if node is None else (node.last_seen, node.ram_available_bytes)
