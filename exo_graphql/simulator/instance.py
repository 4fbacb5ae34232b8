"""An instance and its runners, as read from the instance's document."""

from dataclasses import dataclass, field

from exo_graphql.simulator.cards import Card, Document
from exo_graphql.simulator.clock import Running
from exo_graphql.simulator.cluster import Node, SimulatedCluster

_SHORTEST_LAYER = 0.05


@dataclass(slots=True, eq=False)
class Runner:
    """One node's process for an instance. Sizes in bytes."""

    id: str
    node: Node
    rank: int
    layers: int
    resident: int

    @property
    def layer_seconds(self) -> float:
        """How long one of its layers takes to load."""
        return max(_SHORTEST_LAYER, self.resident / self.layers / self.node.machine.load_rate)


@dataclass(slots=True, eq=False)
class Instance:
    """An instance that exo lists, or listed."""

    id: str
    document: Document
    card: Card
    runners: list[Runner]
    phase: str = "starting"
    """starting, loading, loaded, warming, ready, failed or stuck (one of its nodes died)."""
    deleted: bool = False
    process: Running | None = None
    """Its life: see `life`."""
    serving: set[object] = field(default_factory=set)
    """Chats under way."""


def read_instance(document: Document, cluster: SimulatedCluster) -> Instance:
    """The instance that a document describes; KeyError for a card or node that does not exist."""
    body = next(iter(document.values()))
    assignments = body["shardAssignments"]
    card = cluster.cards[assignments["modelId"]]
    runners = []
    for node_id, runner_id in assignments["nodeToRunner"].items():
        tag, shard = next(iter(assignments["runnerToShard"][runner_id].items()))
        layers = max(1, shard["endLayer"] - shard["startLayer"])
        share = 1 / shard["worldSize"] if tag == "TensorShardMetadata" else layers / card.layers
        runners.append(
            Runner(
                runner_id,
                cluster.nodes[node_id],
                shard["deviceRank"],
                layers,
                round(card.resident_bytes * share),
            )
        )
    return Instance(body["instanceId"], document, card, runners)
