"""Nodes that come and go, masters that die, and the elections they cause (exo/API.md, "Nodes and masters")."""

from exo_graphql.demo.clock import Process
from exo_graphql.demo.downloads import Downloads
from exo_graphql.demo.instances import Instances
from exo_graphql.demo.state import StateDocument
from exo_graphql.demo.telemetry import report
from exo_graphql.demo.world import Node, World

ELECTION_SECONDS = 3.0


class Election:
    """Membership of the cluster, and when it takes commands."""

    def __init__(self, world: World, instances: Instances, downloads: Downloads) -> None:
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
            self._begin()
            self._world.clock.spawn(self._new_session())
        else:
            self._instances.freeze(node)
            self._begin()
            self._world.clock.spawn(self._time_out(node))

    def revive(self, dead: Node) -> Node:
        """exo starts again on a dead node's machine: a new node with a new id."""
        if dead.alive:
            return dead
        node = self._world.add_node(dead.machine)
        if dead is self._world.api:
            self._world.api = node
        self._begin()
        self._world.clock.spawn(self._join(node, self._world.rng.uniform(5.0, 6.0)))
        return node

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

    def _time_out(self, node: Node) -> Process:
        world, state = self._world, self._world.state
        losses = sorted(world.rng.uniform(6.0, 11.0) for _ in world.nodes)
        waited = 0.0
        for at, source in zip(losses, list(world.nodes.values()), strict=True):
            yield at - waited
            waited = at
            if state.connections.get(source.id, {}).pop(node.id, None):
                world.event()
        yield world.rng.uniform(33.0, 39.0) - waited
        state.forget(node.id)
        world.event()
        yield 10.0
        if world.state is state:
            for instance in list(self._instances.all.values()):
                if any(runner.node is node for runner in instance.runners):
                    self._instances.delete(instance.id, by_command=False)

    def _new_session(self) -> Process:
        world = self._world
        yield world.rng.uniform(3.2, 5.5)
        self._instances.lose_all()
        for node in world.nodes.values():
            self._downloads.abandon(node)
        world.state = StateDocument()
        self._held_until = max(self._held_until, world.clock.now + 0.1)
        living = [node for node in world.nodes.values() if node.alive]
        if not living:
            return
        world.master = living[0]
        self._masterless = False
        for turn, node in enumerate(living):
            world.clock.spawn(self._join(node, 0.1 + 3.0 * turn))
