"""Which node has which track. A node gets a new id each time exo starts on it; its name stays."""

from collections import Counter
from collections.abc import Sequence

from exo_graphql.series.track import FINE, TEN_MINUTES, Track

# Tracks of nodes that have left, each of some 65 kB. A cluster in which more come and go forgets the oldest of them.
MAX_ABSENT = 32

Member = tuple[str, str | None]
"""The id of a node and its name."""


class Tracks:
    """The tracks of all nodes, present and absent."""

    def __init__(self) -> None:
        self._by_id: dict[str, Track] = {}
        """By the id that a node has, or had last."""

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, node_id: str) -> Track | None:
        """The track of a node by its present id."""
        return self._by_id.get(node_id)

    def all(self) -> list[Track]:
        """Every track."""
        return list(self._by_id.values())

    def of_present(self, members: Sequence[Member]) -> list[Track]:
        """The tracks of the nodes that are present now, in their order, made where there is none."""
        tracks = []
        for member in members:
            node_id, name = member
            track = self._by_id.get(node_id)
            if track is None or (track.name is None and name is not None):
                track = self._adopted(member, members) or track or Track(node_id, name)
                self._by_id[node_id] = track
            track.name = name or track.name
            tracks.append(track)
        if len(self._by_id) > len(members) + MAX_ABSENT:
            self._forget_oldest({node_id for node_id, _ in members})
        return tracks

    def of_past(self, members: Sequence[Member]) -> list[Track]:
        """The tracks of the nodes that were present at one time in the past. None changes its id or name."""
        tracks = []
        for member in members:
            track = self._by_id.get(member[0]) or self._absent(member, members)
            if track is None:
                track = self._by_id[member[0]] = Track(*member)
            tracks.append(track)
        if len(self._by_id) > len(members) + MAX_ABSENT:
            self._forget_oldest({track.node_id for track in tracks})
        return tracks

    def _adopted(self, member: Member, members: Sequence[Member]) -> Track | None:
        """The track of a node that is back under a new id."""
        track = self._absent(member, members)
        if track is not None:
            del self._by_id[track.node_id]
            track.node_id = member[0]
        return track

    def _absent(self, member: Member, members: Sequence[Member]) -> Track | None:
        """The one track with that name whose node is not among the members.

        None if several nodes have the name: nothing says which of two nodes called "Mac mini" is which.
        """
        name = member[1]
        if name is None or Counter(each for _, each in members)[name] > 1:
            return None
        ids = {node_id for node_id, _ in members}
        found = [track for id_, track in self._by_id.items() if track.name == name and id_ not in ids]
        return found[0] if len(found) == 1 else None

    def _forget_oldest(self, present: set[str]) -> None:
        absent = [track for id_, track in self._by_id.items() if id_ not in present]
        if len(absent) > MAX_ABSENT:
            oldest = min(absent, key=lambda track: (track.rings[TEN_MINUTES].newest, track.rings[FINE].newest))
            del self._by_id[oldest.node_id]
