"""The simulated cluster: its nodes, the state that exo replicates about them, and the clock."""

import logging
import random
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from exo_graphql.simulator.cards import Card, Document
from exo_graphql.simulator.clock import Clock
from exo_graphql.simulator.scenario import Machine, Scenario
from exo_graphql.simulator.state import StateDocument

logger = logging.getLogger(__name__)

API_PORT = 52415


@dataclass(slots=True, eq=False)
class Node:
    """One run of exo on a machine: a restart makes a new node with a new id."""

    machine: Machine
    id: str
    weights: dict[str, int]
    """Bytes on disk by model; the machine's, so they outlive the node."""
    alive: bool = True
    held: dict[object, int] = field(default_factory=dict)
    """Bytes of memory by holder (a runner's process)."""
    serving: set[object] = field(default_factory=set)
    """Chats under way."""
    loading: set[object] = field(default_factory=set)
    """Runners that load."""
    temperature: float = 38.0

    @property
    def available(self) -> int:
        """Bytes of memory free right now, before the simulated fluctuation."""
        return max(0, self.machine.ram - self.machine.os_used - sum(self.held.values()))


class SimulatedCluster:
    """What the parts of the simulation share."""

    def __init__(self, scenario: Scenario, clock: Clock, rng: random.Random) -> None:
        self.scenario = scenario
        self.clock = clock
        self.rng = rng
        """The source of ids and random values: repeatable, if it has a seed."""
        self.state = StateDocument()
        """What exo replicates. A new session starts with a new one."""
        self.cards: dict[str, Card] = {card.model_id: card for card in scenario.cards}
        """By model id."""
        self.born = datetime.now(UTC)
        """The wall clock at simulated time 0."""
        self.disks: dict[str, dict[str, int]] = {machine.name: {} for machine in scenario.machines}
        """Bytes of each model by machine; they outlive the nodes."""
        for model_id, names in scenario.weights.items():
            for name in names:
                self.disks[name][model_id] = self.cards[model_id].repository_bytes
        for model_id, (name, share) in scenario.downloads.items():
            self.disks[name][model_id] = round(self.cards[model_id].repository_bytes * share)
        self.nodes: dict[str, Node] = {}
        """By id; dead ones too."""
        for machine in scenario.machines:
            self.add_node(machine)
        self.api = self.node_named(scenario.api)
        """The node whose HTTP API is simulated."""
        self.master = self.node_named(scenario.master)

    def new_id(self) -> str:
        """A random UUID."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def add_node(self, machine: Machine) -> Node:
        """Start exo on a machine; the state lists it when it has joined."""
        node = Node(machine, f"{self.rng.getrandbits(128):x}", self.disks[machine.name])
        self.nodes[node.id] = node
        return node

    def node_named(self, name: str) -> Node:
        """The node with this id, or the newest on the machine with this name (any case); KeyError if none."""
        if name in self.nodes:
            return self.nodes[name]
        for node in reversed(self.nodes.values()):
            if node.machine.name.casefold() == name.casefold():
                return node
        raise KeyError(name)

    def has_weights(self, node: Node, card: Card) -> bool:
        """Whether all of the model's files are on the node's disk."""
        return node.weights.get(card.model_id, 0) >= card.repository_bytes

    @property
    def wall(self) -> datetime:
        """The master's wall clock: it runs with simulated time."""
        return self.born + timedelta(seconds=self.clock.now)

    def event(self, count: int = 1) -> None:
        """Something was appended to exo's event log."""
        self.state.index += count

    def set_runner(self, runner_id: str, status: str, **fields: object) -> None:
        """Report a runner's status."""
        self.state.runners[runner_id] = {status: fields}
        self.event()

    def add_task(self, kind: str, instance_id: str, status: str = "Pending", **fields: object) -> str:
        """Add a task to the list that exo never clears; returns its id."""
        task_id = self.new_id()
        self.state.tasks[task_id] = {
            kind: {"taskId": task_id, "taskStatus": status, "instanceId": instance_id, **fields}
        }
        self.event()
        return task_id

    def set_task(self, task_id: str, status: str) -> None:
        """Change a task's status; a task that is gone (a new session began) stays gone."""
        task = self.state.tasks.get(task_id)
        if task is not None:
            next(iter(task.values()))["taskStatus"] = status
            self.event()

    def connect(self, source: Node, sink: Node) -> None:
        """Put the edges from `source` to `sink` into the topology."""
        edges = [_socket(address) for address in _addresses(sink)]
        for cable in self.scenario.cables:
            ends = {cable.a: cable.a_port, cable.b: cable.b_port}
            names = (source.machine.name, sink.machine.name)
            if set(names) == set(ends) and source.machine.rdma and sink.machine.rdma:
                edges.append(
                    {
                        "sourceRdmaIface": f"rdma_{ends[names[0]]}",
                        "sinkRdmaIface": f"rdma_{ends[names[1]]}",
                    }
                )
        self.state.connections.setdefault(source.id, {})[sink.id] = edges
        self.event(len(edges))

    def introduce(self, node: Node) -> None:
        """Add a node to the state: membership, memory, networks."""
        machine = node.machine
        state = self.state
        if node.id not in state.nodes:
            state.nodes.append(node.id)
        state.last_seen[node.id] = self.wall
        state.backends[node.id] = list(machine.backends)
        state.network[node.id] = {
            "interfaces": [
                {"name": one.name, "ipAddress": one.address, "interfaceType": one.kind} for one in machine.interfaces
            ]
        }
        if machine.mac:
            state.thunderbolt[node.id] = {
                "interfaces": [
                    {
                        "rdmaInterface": f"rdma_{port}",
                        "domainUuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{machine.name}/{port}")).upper(),
                        "linkSpeed": "80 Gb/s" if machine.rdma else "",
                    }
                    for port in machine.thunderbolt
                ]
            }
            state.thunderbolt_bridge[node.id] = {
                "enabled": False,
                "exists": True,
                "serviceName": "Thunderbolt Bridge",
            }
            state.rdma_ctl[node.id] = {"enabled": machine.rdma}
        self.event(6)

    def identify(self, node: Node) -> None:
        """The state learns a node's identity: a little later than its membership."""
        machine = node.machine
        self.state.identities[node.id] = {
            "modelId": machine.model,
            "chipId": machine.chip,
            "friendlyName": machine.name,
            "osVersion": machine.os_version,
            "osBuildVersion": machine.os_build,
        }
        self.event(2)


def _addresses(node: Node) -> Iterable[str]:
    # exo's reachability check finds the routable addresses; loopback and link-local IPv6 ones never answer.
    return (one.address for one in node.machine.interfaces if not one.address.startswith(("127.", "::1", "fe80:")))


def _socket(address: str) -> Document:
    # snake_case inside `sinkMultiaddr` is exo's own slip.
    kind = "ip6" if ":" in address else "ip4"
    return {
        "sinkMultiaddr": {
            "address": f"/{kind}/{address}/tcp/{API_PORT}",
            "address_type": kind,
            "ip_address": address,
            "port": API_PORT,
        }
    }
