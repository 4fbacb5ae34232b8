"""Whether a state is of the cluster that was seen before. Node ids are new at each start of exo, names are not."""

from collections.abc import Mapping

from exo_graphql.cluster.state import State


def is_another_cluster(members: Mapping[str, str | None], state: State) -> bool:
    """Whether none of the nodes is known, neither by id nor by name. `members`: the names seen before, by id."""
    names = {name for name in members.values() if name is not None}
    known = state.nodes.keys() & members.keys() or names & {node.friendly_name for node in state.nodes.values()}
    return bool(names) and not known


def may_be_incomplete(members: Mapping[str, str | None], index: int | None, state: State) -> bool:
    """Whether the node that answers may lack events. `members` and `index` (`State.index`) were seen before.

    All members are there, and fewer events than were seen before: a node that has just joined replays the log for some
    30 s, and does not list yet what was placed last. Or none is known, and some have not reported their names yet.
    """
    nameless = any(node.friendly_name is None for node in state.nodes.values())
    if nameless and is_another_cluster(members, state):
        return True
    older = state.index is not None and index is not None and state.index < index
    return older and state.nodes.keys() >= members.keys()
