"""Which cluster is this, and which of its nodes is which: members are compared by id, and by name where ids are new.

exo has no cluster id. A node draws a new id at every start and keeps its friendly name, so an operation remembers both
for every member. Ids that are shared prove that the cluster is the same one. Names alone are good evidence: three of
("studio-1", "studio-2", "mini") are still there after all of exo was restarted. Two clusters whose
nodes carry the same names cannot be distinguished.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from exo_graphql.cluster.snapshot import Snapshot


def members_of(snapshot: Snapshot) -> dict[str, str]:
    """Friendly name by id; empty where a node has not reported its name."""
    return {node.id: node.friendly_name or "" for node in snapshot.nodes}


def is_same_cluster(members: Mapping[str, str], snapshot: Snapshot) -> bool:
    """Whether an operation planned among `members` belongs to the cluster of this snapshot.

    At least half of the names of the smaller side must be shared where no id is. Without members there is nothing to
    compare (an operation of the first release that had no instance yet): it counts as the same.
    """
    if not members or not members.keys().isdisjoint(snapshot.state.nodes):
        return True
    then, now = _names(members.values()), _names(node.friendly_name or "" for node in snapshot.nodes)
    shared = (then & now).total()
    return shared > 0 and shared * 2 >= min(then.total(), now.total())


def present_id(members: Mapping[str, str], snapshot: Snapshot, node_id: str) -> str | None:
    """The present id of a node; None while it is not a member, or while several members have its name."""
    if node_id in snapshot.state.nodes:
        return node_id
    name = members.get(node_id, "").lower()
    alike = [node.id for node in snapshot.nodes if name and (node.friendly_name or "").lower() == name]
    return alike[0] if len(alike) == 1 else None


def present_ids(members: Mapping[str, str], snapshot: Snapshot, node_ids: Iterable[str]) -> dict[str, str]:
    """The present id by the former id, for those that are members now."""
    found = {node_id: present_id(members, snapshot, node_id) for node_id in node_ids}
    return {former: now for former, now in found.items() if now is not None}


def by_present_id(members: Mapping[str, str], snapshot: Snapshot, by_node: Mapping[str, int]) -> dict[str, int]:
    """Bytes by present node id; a node that is not a member keeps its former id."""
    found = present_ids(members, snapshot, by_node)
    return {found.get(node_id, node_id): size for node_id, size in by_node.items()}


def _names(names: Iterable[str]) -> Counter[str]:
    return Counter(name.lower() for name in names if name)
