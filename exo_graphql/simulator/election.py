"""Nodes that join and die, masters that die, and the elections that follow (exo/API.md, "Nodes and masters")."""

from exo_graphql.simulator.clock import Process
from exo_graphql.simulator.cluster import Node, SimulatedCluster
from exo_graphql.simulator.downloads import Downloads
from exo_graphql.simulator.instances import Instances
from exo_graphql.simulator.state import StateDocument
from exo_graphql.simulator.telemetry import report

ELECTION_SECONDS = 3.0
PLAN_INTERVAL = 10.0
"""Seconds between two rounds in which the master looks for what is broken (exo `master/main.py`, `_plan`)."""
SILENCE_SECONDS = 30.0
"""A node that has not reported for longer is removed from the topology in the next round."""


class Election:
    """Membership of the cluster, and when it takes commands."""

    def __init__(self, cluster: SimulatedCluster, instances: Instances, downloads: Downloads) -> None:
        self._cluster = cluster
        self._instances = instances
        self._downloads = downloads
        self._held_until = 0.0
        """Commands hang until this simulated time."""
        self._masterless = False
        """From the death of a master until the next session."""

    @property
    def hold(self) -> float:
        """Simulated seconds that a command sent now hangs, 0 when none does."""
        return max(0.0, self._held_until - self._cluster.clock.now)

    @property
    def masterless(self) -> bool:
        """Whether a command sent now is answered and lost."""
        return self._masterless

    def found(self) -> None:
        """Set up the cluster as if it had formed long ago."""
        cluster = self._cluster
        cluster.state.index = cluster.rng.randrange(40_000, 90_000)
        for node in cluster.nodes.values():
            cluster.introduce(node)
            cluster.identify(node)
            self._downloads.list_all(node)
            for other in cluster.nodes.values():
                if other is not node:
                    cluster.connect(node, other)

    def kill(self, node: Node) -> None:
        """exo on this node dies without notice."""
        if not node.alive:
            return
        node.alive = False
        self._downloads.abandon(node)
        if node is self._cluster.master:
            self._masterless = True
            # Without a master no event is applied: the state does not change until the next session begins.
            for one in self._cluster.nodes.values():
                self._instances.freeze(one)
            self._begin()
            self._cluster.clock.spawn(self._new_session())
        else:
            self._instances.freeze(node)
            self._begin()
            self._cluster.clock.spawn(self._lose_edges(node))

    def revive(self, dead: Node) -> Node:
        """exo starts again on a dead node's machine: a new node with a new id."""
        newest = self._cluster.node_named(dead.machine.name)
        if newest.alive:
            return newest
        node = self._cluster.add_node(dead.machine)
        if dead is self._cluster.api:
            self._cluster.api = node
        self._begin()
        self._cluster.clock.spawn(self._join(node, self._cluster.rng.uniform(5.0, 6.0)))
        return node

    def restart(self, seconds: float) -> None:
        """exo dies on every node and is started again `seconds` later: new ids, the old names, and nothing loaded."""
        cluster = self._cluster
        self._masterless = True
        for node in cluster.nodes.values():
            node.alive = False
            self._downloads.abandon(node)
        self._instances.lose_all()
        # No node answers until then; commands sent to the old session are lost.
        cluster.state = StateDocument()
        cluster.clock.spawn(self._start_again(cluster.state), seconds)

    def plan(self) -> Process:
        """The master's loop, forever: delete instances on lost nodes, then remove silent nodes."""
        cluster = self._cluster
        yield cluster.rng.uniform(0.0, PLAN_INTERVAL)
        while True:
            if not self._masterless:
                present = set(cluster.state.nodes)
                for instance_id, document in list(cluster.state.instances.items()):
                    assignments = next(iter(document.values()))["shardAssignments"]
                    if not set(assignments["nodeToRunner"]) <= present:
                        self._instances.delete(instance_id, by_command=False)
                for node_id, seen in list(cluster.state.last_seen.items()):
                    silent = (cluster.wall - seen).total_seconds() > SILENCE_SECONDS
                    # After a gap in time (a suspended laptop) nodes that are alive are late too; they are not removed.
                    if silent and not cluster.nodes[node_id].alive:
                        cluster.state.forget(node_id)
                        cluster.event()
            yield max(PLAN_INTERVAL, cluster.clock.lag - PLAN_INTERVAL)

    def _start_again(self, state: StateDocument) -> Process:
        cluster = self._cluster
        yield 0.0
        if cluster.state is not state:
            return
        for turn, machine in enumerate(cluster.scenario.machines):
            if not cluster.node_named(machine.name).alive:
                cluster.clock.spawn(self._join(cluster.add_node(machine), 0.1 + 3.0 * turn))
        cluster.api = cluster.node_named(cluster.api.machine.name)
        cluster.master = cluster.node_named(cluster.master.machine.name)
        self._masterless = False
        self._begin()

    def _begin(self) -> None:
        self._held_until = max(self._held_until, self._cluster.clock.now + ELECTION_SECONDS)

    def _join(self, node: Node, after: float) -> Process:
        cluster = self._cluster
        state = cluster.state
        yield after
        if not node.alive or cluster.state is not state:
            return
        cluster.introduce(node)
        report(cluster, node)
        self._downloads.list_all(node)
        yield 0.5
        if node.id not in state.nodes or cluster.state is not state:
            return
        cluster.identify(node)
        for other in cluster.nodes.values():
            if other is not node and other.alive:
                for source, sink in ((node, other), (other, node)):
                    cluster.clock.spawn(self._link(state, source, sink), cluster.rng.uniform(1.0, 10.0))

    def _link(self, state: StateDocument, source: Node, sink: Node) -> Process:
        yield 0.0
        if self._cluster.state is state and {source.id, sink.id} <= set(state.nodes) and source.alive and sink.alive:
            self._cluster.connect(source, sink)

    def _lose_edges(self, node: Node) -> Process:
        """The other nodes notice one by one that they cannot reach it; its own edges stay as long as it is listed."""
        cluster, state = self._cluster, self._cluster.state
        waited = 0.0
        for source in list(state.connections):
            at = waited + cluster.rng.uniform(0.0, 11.0 - max(waited, 6.0)) if waited else cluster.rng.uniform(6.0, 9.0)
            yield at - waited
            waited = at
            if state.connections.get(source, {}).pop(node.id, None):
                cluster.event()

    def _new_session(self) -> Process:
        cluster, state = self._cluster, self._cluster.state
        yield cluster.rng.uniform(3.2, 5.5)
        if cluster.state is not state:
            return
        self._instances.lose_all()
        for node in cluster.nodes.values():
            self._downloads.abandon(node)
        cluster.state = StateDocument()
        self._held_until = max(self._held_until, cluster.clock.now + 0.1)
        living = [node for node in cluster.nodes.values() if node.alive]
        if not living:
            return
        # Not the node whose API is simulated, if it can be helped: a test may kill the next master too.
        living.sort(key=lambda node: node is cluster.api)
        cluster.master = living[0]
        self._masterless = False
        for turn, node in enumerate(living):
            cluster.clock.spawn(self._join(node, 0.1 + 3.0 * turn))
