"""Nodes that come and go, masters that die, and the elections they cause (exo/API.md, "Nodes and masters")."""

from exo_graphql.simulator.clock import Process
from exo_graphql.simulator.cluster import Node, SimulatedCluster
from exo_graphql.simulator.downloads import Downloads
from exo_graphql.simulator.instances import Instances
from exo_graphql.simulator.state import StateDocument
from exo_graphql.simulator.telemetry import report

ELECTION_SECONDS = 3.0
PLAN_INTERVAL = 10.0
"""Seconds between two looks of the master for what is broken (exo `master/main.py`, `_plan`)."""
SILENCE_SECONDS = 30.0
"""A node not heard of for longer is taken out of the topology at the next look."""


class Election:
    """Membership of the cluster, and when it takes commands."""

    def __init__(self, world: SimulatedCluster, instances: Instances, downloads: Downloads) -> None:
        self._world = world
        self._instances = instances
        self._downloads = downloads
        self._held_until = 0.0
        self._masterless = False

    @property
    def hold(self) -> float:
        """Simulated seconds that a command sent now hangs, 0 when none does."""
        return max(0.0, self._held_until - self._world.clock.now)

    @property
    def masterless(self) -> bool:
        """Whether a command sent now is answered and lost."""
        return self._masterless

    def found(self) -> None:
        """The cluster as it stands when the simulation begins: formed long ago."""
        world = self._world
        world.state.index = world.rng.randrange(40_000, 90_000)
        for node in world.nodes.values():
            world.introduce(node)
            world.identify(node)
            self._downloads.list_all(node)
            for other in world.nodes.values():
                if other is not node:
                    world.connect(node, other)

    def kill(self, node: Node) -> None:
        """exo on this node dies without a word."""
        if not node.alive:
            return
        node.alive = False
        self._downloads.abandon(node)
        if node is self._world.master:
            self._masterless = True
            # Nothing is applied without a master: the state stands still until the next one's begins.
            for one in self._world.nodes.values():
                self._instances.freeze(one)
            self._begin()
            self._world.clock.spawn(self._new_session())
        else:
            self._instances.freeze(node)
            self._begin()
            self._world.clock.spawn(self._lose_edges(node))

    def revive(self, dead: Node) -> Node:
        """exo starts again on a dead node's machine: a new node with a new id."""
        newest = self._world.node_named(dead.machine.name)
        if newest.alive:
            return newest
        node = self._world.add_node(dead.machine)
        if dead is self._world.api:
            self._world.api = node
        self._begin()
        self._world.clock.spawn(self._join(node, self._world.rng.uniform(5.0, 6.0)))
        return node

    def restart(self, seconds: float) -> None:
        """exo dies on every node and is started again `seconds` later: new ids, the old names, and nothing loaded."""
        world = self._world
        self._masterless = True
        for node in world.nodes.values():
            node.alive = False
            self._downloads.abandon(node)
        self._instances.lose_all()
        # Nobody answers until then, and what was sent to the old session belongs to no other.
        world.state = StateDocument()
        world.clock.spawn(self._start_again(world.state), seconds)

    def plan(self) -> Process:
        """The master's loop, forever: delete instances on lost nodes, then lose silent nodes."""
        world = self._world
        yield world.rng.uniform(0.0, PLAN_INTERVAL)
        while True:
            if not self._masterless:
                present = set(world.state.nodes)
                for instance_id, document in list(world.state.instances.items()):
                    assignments = next(iter(document.values()))["shardAssignments"]
                    if not set(assignments["nodeToRunner"]) <= present:
                        self._instances.delete(instance_id, by_command=False)
                for node_id, seen in list(world.state.last_seen.items()):
                    silent = (world.wall - seen).total_seconds() > SILENCE_SECONDS
                    # After a gap in time (a suspended laptop) the living are late too; they are not lost.
                    if silent and not world.nodes[node_id].alive:
                        world.state.forget(node_id)
                        world.event()
            yield max(PLAN_INTERVAL, world.clock.lag - PLAN_INTERVAL)

    def _start_again(self, state: StateDocument) -> Process:
        world = self._world
        yield 0.0
        if world.state is not state:
            return
        for turn, machine in enumerate(world.scenario.machines):
            if not world.node_named(machine.name).alive:
                world.clock.spawn(self._join(world.add_node(machine), 0.1 + 3.0 * turn))
        world.api = world.node_named(world.api.machine.name)
        world.master = world.node_named(world.master.machine.name)
        self._masterless = False
        self._begin()

    def _begin(self) -> None:
        self._held_until = max(self._held_until, self._world.clock.now + ELECTION_SECONDS)

    def _join(self, node: Node, after: float) -> Process:
        world = self._world
        state = world.state
        yield after
        if not node.alive or world.state is not state:
            return
        world.introduce(node)
        report(world, node)
        self._downloads.list_all(node)
        yield 0.5
        if node.id not in state.nodes or world.state is not state:
            return
        world.identify(node)
        for other in world.nodes.values():
            if other is not node and other.alive:
                for source, sink in ((node, other), (other, node)):
                    world.clock.spawn(self._link(state, source, sink), world.rng.uniform(1.0, 10.0))

    def _link(self, state: StateDocument, source: Node, sink: Node) -> Process:
        yield 0.0
        if self._world.state is state and {source.id, sink.id} <= set(state.nodes) and source.alive and sink.alive:
            self._world.connect(source, sink)

    def _lose_edges(self, node: Node) -> Process:
        """One by one the others find that they cannot reach it; its own edges stay as long as it does."""
        world, state = self._world, self._world.state
        waited = 0.0
        for source in list(state.connections):
            at = waited + world.rng.uniform(0.0, 11.0 - max(waited, 6.0)) if waited else world.rng.uniform(6.0, 9.0)
            yield at - waited
            waited = at
            if state.connections.get(source, {}).pop(node.id, None):
                world.event()

    def _new_session(self) -> Process:
        world, state = self._world, self._world.state
        yield world.rng.uniform(3.2, 5.5)
        if world.state is not state:
            return
        self._instances.lose_all()
        for node in world.nodes.values():
            self._downloads.abandon(node)
        world.state = StateDocument()
        self._held_until = max(self._held_until, world.clock.now + 0.1)
        living = [node for node in world.nodes.values() if node.alive]
        if not living:
            return
        # Not the node whose API is simulated, if it can be helped: the next master, too, may be ordered to die.
        living.sort(key=lambda node: node is world.api)
        world.master = living[0]
        self._masterless = False
        for turn, node in enumerate(living):
            world.clock.spawn(self._join(node, 0.1 + 3.0 * turn))
