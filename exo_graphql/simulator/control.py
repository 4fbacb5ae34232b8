"""Lets a test act on the simulated cluster: faults, latencies, and changes by another client of exo."""

from collections import Counter
from collections.abc import Sequence

from exo_graphql.simulator.cards import Document
from exo_graphql.simulator.fault_middleware import FaultMiddleware
from exo_graphql.simulator.faults import Fault
from exo_graphql.simulator.placement import Request
from exo_graphql.simulator.simulation import Simulation


class TestControl:
    """Acts on the simulation in ways that no client of exo can.

    Nodes are named by machine name or node id, models by exact id.
    """

    def __init__(self, simulation: Simulation, middleware: FaultMiddleware) -> None:
        self._simulation = simulation
        self._middleware = middleware

    @property
    def latency(self) -> float:
        """Real seconds added to every answer."""
        return self._middleware.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._middleware.latency = seconds

    @property
    def command_latency(self) -> float:
        """Real seconds added to the answers of everything but reads."""
        return self._middleware.command_latency

    @command_latency.setter
    def command_latency(self, seconds: float) -> None:
        self._middleware.command_latency = seconds

    @property
    def drop_connections(self) -> bool:
        """Whether every request fails as if no server listened (in process: `httpx.ConnectError`)."""
        return self._middleware.drop_connections

    @drop_connections.setter
    def drop_connections(self, drop: bool) -> None:
        self._middleware.drop_connections = drop

    @property
    def requests(self) -> Counter[tuple[str, str]]:
        """Requests received so far by method and route template, e.g. `("GET", "/instance/{instance_id}")`."""
        return self._middleware.requests

    @property
    def now(self) -> float:
        """Simulated seconds since the start."""
        return self._simulation.clock.now - self._simulation.began

    @property
    def cards(self) -> tuple[str, ...]:
        """The ids of all model cards known."""
        return tuple(self._simulation.cluster.cards)

    def inject(self, fault: Fault) -> None:
        """Order a fault; one whose time is past begins at once."""
        self._simulation.order(fault)
        self._simulation.clock.run_due()

    def clear(self, kind: str | None = None) -> None:
        """Cancel faults of this kind, or all; what they have already broken stays broken."""
        self._simulation.faults.clear(kind)

    def kill_node(self, name: str) -> None:
        """exo dies on this node."""
        self._simulation.election.kill(self._simulation.cluster.node_named(name))

    def revive_node(self, name: str) -> str:
        """exo starts again on this node's machine; the new node's id."""
        return self._simulation.election.revive(self._simulation.cluster.node_named(name)).id

    def kill_master(self) -> str:
        """The master dies, and the state with it; its node id."""
        master = self._simulation.cluster.master
        self._simulation.election.kill(master)
        return master.id

    def restart(self, seconds: float) -> None:
        """exo dies on every node and comes back after `seconds` with new node ids and nothing loaded."""
        self._simulation.election.restart(seconds)

    def crash(self, instance_id: str) -> bool:
        """A runner of an instance that is ready fails; False if no such instance is ready."""
        return self._simulation.instances.crash(instance_id)

    def node_id(self, name: str) -> str:
        """The id of the newest node on the machine with this name."""
        return self._simulation.cluster.node_named(name).id

    def advance(self, seconds: float) -> None:
        """Jump ahead by simulated seconds; everything on the way happens, in order."""
        self._simulation.clock.advance(seconds)

    def create_instance(self, document: Document) -> None:
        """exo carries out a request that it has received earlier for exactly this instance."""
        self._simulation.instances.create(document)

    def delete_instance(self, instance_id: str) -> None:
        """Another client deletes an instance."""
        self._simulation.instances.delete(instance_id)

    def place(self, model_id: str, nodes: Sequence[str] = ()) -> str | None:
        """Another client places a model on these nodes, perhaps on more; the instance's id, None if impossible."""
        cluster = self._simulation.cluster
        ids = frozenset(cluster.node_named(name).id for name in nodes)
        before = set(cluster.state.instances)
        self._simulation.place(Request(cluster.cards[model_id], min_nodes=max(1, len(ids)), nodes=ids))
        return next(iter(set(cluster.state.instances) - before), None)

    def create(self, document: Document) -> None:
        """Another client creates exactly this instance."""
        self._simulation.create(document)
