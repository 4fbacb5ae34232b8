"""The simulation as a whole: its parts put together, and a scenario set up."""

import logging
import random
from datetime import timedelta

from exo_graphql.simulator.cards import Document
from exo_graphql.simulator.clock import Clock
from exo_graphql.simulator.cluster import Node, SimulatedCluster
from exo_graphql.simulator.downloads import Downloads, fault_names
from exo_graphql.simulator.election import Election
from exo_graphql.simulator.faults import Fault, Faults, matches
from exo_graphql.simulator.inference import Inference
from exo_graphql.simulator.instances import Instances
from exo_graphql.simulator.past import Past
from exo_graphql.simulator.placement import ImpossibleError, Request, place
from exo_graphql.simulator.scenario import Scenario
from exo_graphql.simulator.telemetry import report, telemetry

logger = logging.getLogger(__name__)


class Simulation:
    """Everything but HTTP."""

    def __init__(self, scenario: Scenario, speed: float, seed: int | None) -> None:
        self.clock = Clock(speed)
        self.faults = Faults(self.clock)
        self.cluster = SimulatedCluster(scenario, self.clock, random.Random(seed))
        self.downloads = Downloads(self.cluster, self.faults)
        self.instances = Instances(self.cluster, self.downloads, self.faults)
        self.inference = Inference(self.cluster, self.instances)
        self.election = Election(self.cluster, self.instances, self.downloads)
        self._past = Past(self.cluster)
        self._frozen: bytes | None = None
        self._set_up(scenario)
        self.began = self.clock.now

    def place(self, request: Request) -> None:
        """What the master does with a place command: if it is impossible, nothing but a line in its log."""
        try:
            document = place(request, self.cluster.state, self.cluster.rng, self.cluster.new_id)
        except ImpossibleError as error:
            logger.warning("not placed: %s: %s", request.card.model_id, error)
        else:
            self.create(document)

    def create(self, document: Document) -> None:
        """List exactly this instance."""
        self.instances.create(document)

    def order(self, fault: Fault) -> None:
        """Schedule a fault (at once, if its time is past); ValueError when its target does not exist."""
        self._check(fault)
        since = max(self.began + fault.at, self.clock.now)
        match fault.kind:
            case "node-dies":
                self.clock.call_later(since - self.clock.now, lambda: self._kill(fault, str(fault.target)))
            case "master-dies":
                self.clock.call_later(since - self.clock.now, lambda: self._kill(fault, self.cluster.master.id))
            case "replays":
                self._past.start()
                self.faults.add(fault, since)
            case _:
                self.faults.add(fault, since)
                # A hung master freezes the state of that moment, not the one of the next request.
                self.clock.call_later(since - self.clock.now, self._freeze)

    def frozen(self) -> bytes | None:
        """exo's state at the moment when the master began to hang; None while it does not hang.

        Every node's API still answers, from a state to which nothing is applied any more. The nodes
        themselves work on: when the master is back, all of that is applied at once.
        """
        if not self.faults.is_active("master-hangs"):
            self._frozen = None
        elif self._frozen is None:
            self._frozen = self.cluster.state.encode()
        return self._frozen

    def shown(self) -> bytes | None:
        """The state that the node which answers shows, if it is not the present one."""
        replays = self.faults.active("replays")
        return self.frozen() if replays is None else self._past.shown(*replays)

    def _freeze(self) -> None:
        self.frozen()

    def _check(self, fault: Fault) -> None:
        if fault.kind == "replays" and fault.duration is None:
            raise ValueError("replays needs a duration: replays@SECONDS+DURATION")
        if fault.target is None:
            return
        if fault.kind == "node-dies":
            try:
                self.cluster.node_named(fault.target)
            except KeyError:
                names = ", ".join(machine.name for machine in self.cluster.scenario.machines)
                raise ValueError(f"no node is named {fault.target!r}; there are {names}") from None
        elif not any(matches(fault.target, fault_names(card)) for card in self.cluster.cards.values()):
            raise ValueError(f"no model card is named {fault.target!r}")

    def _kill(self, fault: Fault, name: str) -> None:
        node = self.cluster.node_named(name)
        self.election.kill(node)
        if fault.duration is not None:
            self.clock.call_later(fault.duration, lambda: self._revive(node))

    def _revive(self, node: Node) -> None:
        self.election.revive(node)

    def _set_up(self, scenario: Scenario) -> None:
        cluster = self.cluster
        self.election.found()
        for node in cluster.nodes.values():
            report(cluster, node)
        for model_id, names in scenario.old_instances.items():
            document = self._document(model_id, names)
            self.instances.create_ready(document)
            self.instances.delete(next(iter(document.values()))["instanceId"], by_command=False)
        self.clock.advance(3.0)
        for model_id, names in scenario.ready.items():
            self.instances.create_ready(self._document(model_id, names))
        for model_id, (name, _) in scenario.downloads.items():
            self.downloads.start(cluster.node_named(name), cluster.cards[model_id])
        for source in scenario.traffic:
            self.clock.spawn(self.inference.traffic(source))
        self.clock.spawn(telemetry(cluster))
        self.clock.spawn(self.downloads.rescan())
        self.clock.spawn(self.election.plan())
        self.clock.advance(2.0)
        # The set-up took simulated time: move the wall clock back, so that it shows the present.
        cluster.born -= timedelta(seconds=self.clock.now)
        for node in cluster.nodes.values():
            report(cluster, node)

    def _document(self, model_id: str, names: tuple[str, ...]) -> Document:
        """A placement of the model on exactly these machines."""
        card = self.cluster.cards[model_id]
        nodes = frozenset(self.cluster.node_named(name).id for name in names)
        request = Request(card, min_nodes=len(nodes), nodes=nodes)
        return place(request, self.cluster.state, self.cluster.rng, self.cluster.new_id)
