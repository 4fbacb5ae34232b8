"""One document of exo's state."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exo_graphql.cluster.state.cards import ModelCard
from exo_graphql.cluster.state.downloads import Download
from exo_graphql.cluster.state.instances import Instance, InstanceLink, Runner
from exo_graphql.cluster.state.nodes import Node
from exo_graphql.cluster.state.tasks import Task


@dataclass(frozen=True, slots=True)
class State:
    """One document of exo's state. Maps keep exo's order; `nodes` contains only members."""

    nodes: Mapping[str, Node] = field(default_factory=dict)
    instances: Mapping[str, Instance] = field(default_factory=dict)
    runners: Mapping[str, Runner] = field(default_factory=dict)
    downloads: Mapping[str, Mapping[str, Download]] = field(default_factory=dict)
    """By node id, then model id. A node without a report is absent."""
    tasks: Mapping[str, Task] = field(default_factory=dict)
    cards: Mapping[str, ModelCard] = field(default_factory=dict)
    custom_ids: frozenset[str] | None = None
    """Models that users have added (`customModelCards`); None where exo's state does not say (until v1.0.71)."""
    links: Mapping[str, InstanceLink] = field(default_factory=dict)
    """Of instances by which exo splits requests (`instanceLinks`, since main of June 2026)."""
    index: int | None = field(default=None, compare=False)
    """exo's `lastEventAppliedIdx`: increases even in an idle cluster; starts from -1 after a lost master."""

    def download(self, node_id: str, model_id: str) -> Download | None:
        """The download of a model on a node; None if the node has not reported one."""
        return self.downloads.get(node_id, {}).get(model_id)
