"""Whether exo is of the cluster that the servers of one store share: else this one must neither act nor show it.

A person copies a configuration to the other office and forgets --namespace. The two servers would each take the other's
deployments for their own, and unload what they do not know.
"""

import logging
from collections.abc import Callable, Mapping

from exo_graphql.cluster.identity import is_another_cluster
from exo_graphql.cluster.state import State
from exo_graphql.cluster.upstream import Unreachable

log = logging.getLogger(__name__)

Members = Mapping[str, str | None]
"""Names of nodes by id."""


class AnotherCluster(Unreachable):
    """A state of another cluster, or of one that has not reported its names yet."""


class SameCluster:
    """Compares states with the members that the other servers know. Without `on` there are none: anything is right."""

    def __init__(self, *, on: bool) -> None:
        self._on = on
        self.known: Members = {}
        """The members that other servers have seen last; empty where none has."""
        self.is_another = False
        """Whether exo was found to be of another cluster, and has not been of the right one since."""
        self.on_another: Callable[[], None] = lambda: None
        """Called when it is found to be; it must neither block nor raise."""

    def members_are(self, members: Members, own: State | None) -> None:
        """Another server has seen these. `own` is what exo itself answered last here, if that is shown."""
        self.known = members
        if self._on and own is not None and own.nodes:
            try:
                self._compare(members, own)
            except AnotherCluster as error:
                log.error("%s", error)  # noqa: TRY400  # it says all

    def check(self, state: State, newest: Members | None) -> None:
        """Raises `AnotherCluster` unless exo's own `state` may follow on `newest`, the members that are shown.

        `newest` is None where they come from exo itself, or nothing is shown.
        """
        if self._on and state.nodes:
            self._compare(newest if newest is not None else self.known, state)

    def check_copy(self, copied: State, own: State) -> None:
        """Raises `AnotherCluster` unless the copy of another server is of the cluster that is shown here."""
        if self._on and copied.nodes and own.nodes:
            self.known = names(copied)
            self._compare(self.known, own)

    def _compare(self, members: Members, state: State) -> None:
        if not is_another_cluster(members, state):
            self.is_another = False
            return
        if any(node.friendly_name is None for node in state.nodes.values()):
            raise AnotherCluster("exo has not reported the names of its nodes yet.")
        if not self.is_another:
            self.is_another = True
            self.on_another()
        raise AnotherCluster(another_cluster(members, state))


def names(state: State) -> Members:
    """Of its members, by id."""
    return {id_: node.friendly_name for id_, node in state.nodes.items()}


def another_cluster(members: Members, state: State) -> str:
    """Says that `state` is not of the cluster with these members."""
    theirs = ", ".join(sorted(name for name in members.values() if name is not None))
    ours = ", ".join(sorted(node.friendly_name or id_ for id_, node in state.nodes.items()))
    return (
        f"The servers that share this database and namespace serve another exo cluster: its nodes are {theirs}, and "
        f"those of --exo-url are {ours}. Give the --exo-url of that cluster, or another --namespace."
    )
