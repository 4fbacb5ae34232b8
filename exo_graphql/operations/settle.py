"""Waiting until the membership has settled, for requests and restores that need a returning node."""

from collections.abc import Collection

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.operations.membership import present_ids
from exo_graphql.operations.run import Run


async def settled(run: Run, snapshot: Snapshot, node_ids: Collection[str], step: str) -> Snapshot:
    """A snapshot in which all of these nodes are members (by id or name), or in which the membership has settled.

    It has settled when no node has joined or left for `settled_seconds`; `return_seconds` is the longest wait. After a
    lost master nodes return over 3 to 16 s: a model that was on three of them must not be restored onto the first.
    """
    begun_at = run.observation.seconds
    while len(present_ids(run.saga_state.members, snapshot, node_ids)) < len(node_ids):
        if (
            run.observation.seconds - run.observation.members_changed_at >= run.rules.settled_seconds
            or run.observation.seconds - begun_at >= run.rules.return_seconds
        ):
            break
        absent = set(node_ids) - present_ids(run.saga_state.members, snapshot, node_ids).keys()
        names = ", ".join(sorted(run.saga_state.members.get(id_) or id_ for id_ in absent))
        run.report(step, f"Waiting for {names} to return.")
        run.progressed()
        snapshot = await run.next(snapshot)
    return snapshot
