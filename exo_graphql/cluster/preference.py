"""Which of several groups of nodes exo would choose for a model."""

from collections.abc import Sequence
from functools import cached_property

from exo_graphql.cluster.groups import Groups
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import DownloadKind, ModelCard


class Preference:
    """exo's preference among groups of one size. Nodes are numbers in the topology."""

    def __init__(self, snapshot: Snapshot, card: ModelCard, groups: Groups) -> None:
        self._snapshot = snapshot
        self._card = card
        self._groups = groups

    def rank(self, group: Sequence[int]) -> tuple[bool, float, int]:
        """The higher, the better: a node at the edge of the topology, then weights on disk, then free memory."""
        leaves = self._snapshot.topology.leaves
        return (
            any(leaves >> number & 1 for number in group),
            sum([self.on_disk[number] for number in group]),
            self._groups.memory(group),
        )

    @cached_property
    def on_disk(self) -> Sequence[float]:
        """The part of the weights that each node has on disk, from 0 to 1."""
        return [self._part_on_disk(node_id) for node_id in self._snapshot.topology.ids]

    def _part_on_disk(self, node_id: str) -> float:
        download = self._snapshot.state.download(node_id, self._card.id)
        if download is None or download.kind is DownloadKind.FAILED:
            return 0.0
        if download.kind is DownloadKind.COMPLETED:
            return 1.0
        return (download.downloaded_bytes or 0) / download.total_bytes if download.total_bytes else 0.0
