"""The series of all nodes and of the cluster."""

from collections.abc import Callable

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.series.quantities import Values
from exo_graphql.series.samples import Sample, cluster_sample, is_current, node_samples
from exo_graphql.series.track import FINE, MINUTES, RESOLUTIONS, Track
from exo_graphql.series.tracks import Tracks
from exo_graphql.series.window import History, Window

SAMPLE_EVERY = RESOLUTIONS[FINE][0]
"""Seconds between two samples."""
# Windows of the newest sample that are kept: all nodes of an answer have the same one.
_MAX_WINDOWS = 64


class Series:
    """Samples by a clock of its own: the wall clock as it was when this was made, counted on by `Moment.elapsed`.

    A wall clock that is set back an hour would make the last hour happen twice. It shows only in the times of an
    answer: what was ten minutes ago remains so, and has the time that it would have by today's clock.
    """

    def __init__(self, now: Moment) -> None:
        self._base = now.at.timestamp() - now.elapsed
        self._first = self._interval(now)
        """The first fine interval that this process samples."""
        self._drift = 0
        """Whole seconds that the wall clock has been set forward since, negative for back."""
        self._windows: dict[tuple[int, int], Window] = {}
        self._listeners: list[Callable[[], None]] = []
        self.newest = self._first - 1
        """The newest fine interval: all that is read depends on it alone. It only grows."""
        self.tracks = Tracks()
        self.cluster = Track(typecode="I")  # 32 nodes have more GiB and watts than fit into two bytes

    @property
    def byte_count(self) -> int:
        """Bytes of all cells."""
        return self.cluster.byte_count + sum(track.byte_count for track in self.tracks.all())

    # Sampling

    def seconds_to_next(self, now: Moment) -> float:
        """Seconds until the fine interval after `newest` begins; a millisecond where it has begun.

        Not to the next one by the clock: a timer that is early by half a millisecond would leave out an interval.
        """
        return max(0.001, (self.newest + 1) * SAMPLE_EVERY - self._base - now.elapsed)

    def sample(self, snapshot: Snapshot | None, now: Moment) -> None:
        """Records what is known now. Nothing is recorded of a stale snapshot or node, nor twice in one interval."""
        interval = self._interval(now)
        if interval <= self.newest:
            return
        self._drift = self._drift_at(now)
        self.newest = interval
        self._windows.clear()
        if snapshot is not None and is_current(snapshot, now.elapsed):
            samples = node_samples(snapshot)
            # Stale nodes are present too: another one of the same name does not get their tracks.
            members = [(node.id, node.friendly_name) for node in snapshot.nodes]
            tracks = {track.node_id: track for track in self.tracks.of_present(members)}
            for each in samples:
                tracks[each.node_id].record(interval, each.values)
            self.cluster.record(interval, cluster_sample(snapshot, samples))
        for listener in tuple(self._listeners):
            listener()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls `listener` after each sample until the returned function is called. It must not raise."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # Reading

    def of_node(self, node_id: str, minutes: int, points: int, newest: int | None = None) -> History:
        """What a node has reported; with all entries None if it has not been sampled.

        `newest`: an earlier value of the attribute, so that all parts of one answer end at the same time.
        """
        return History(self._window(minutes, points, newest), self.tracks.get(node_id))

    def of_cluster(self, minutes: int, points: int, newest: int | None = None) -> History:
        """The same for all nodes together."""
        return History(self._window(minutes, points, newest), self.cluster)

    def _window(self, minutes: int, points: int, newest: int | None) -> Window:
        if newest is not None and newest != self.newest:
            return Window(minutes, points, newest, self._drift)
        key = minutes, points
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= _MAX_WINDOWS:
                return Window(minutes, points, self.newest, self._drift)
            window = self._windows[key] = Window(minutes, points, self.newest, self._drift)
        return window

    # Storing

    def stored_number(self, resolution: int, interval: int) -> int:
        """The number of an interval by the wall clock, under which it is stored."""
        return interval + round(self._drift / RESOLUTIONS[resolution][0])

    def kept_from(self, resolution: int) -> int:
        """The oldest interval of a resolution that is kept, by the wall clock."""
        step, size = RESOLUTIONS[resolution]
        return self.stored_number(resolution, self.newest * SAMPLE_EVERY // step - size + 1)

    def means(self, resolution: int, interval: int) -> tuple[Values, list[Sample]] | None:
        """What was reported in an interval, of the cluster and of each node; None where nothing was."""
        nodes = [Sample(t.node_id, t.name, t.means(resolution, interval)) for t in self.tracks.all()]
        nodes = [sample for sample in nodes if any(value is not None for value in sample.values)]
        cluster = self.cluster.means(resolution, interval)
        return (cluster, nodes) if nodes or any(value is not None for value in cluster) else None

    def restore(self, resolution: int, number: int, cluster: Values, nodes: list[Sample]) -> None:
        """Takes over a stored interval. One in the future (the clock has been set back since) is ignored."""
        step = RESOLUTIONS[resolution][0]
        interval = number - round(self._drift / step)
        if interval * step > self.newest * SAMPLE_EVERY + SAMPLE_EVERY:
            return
        before = self._first if resolution == MINUTES else 0
        tracks = self.tracks.of_past([(sample.node_id, sample.name) for sample in nodes])
        for track, sample in zip(tracks, nodes, strict=True):
            track.restore(resolution, interval, sample.values, before=before)
        self.cluster.restore(resolution, interval, cluster, before=before)

    def _interval(self, now: Moment) -> int:
        return int((self._base + now.elapsed) // SAMPLE_EVERY)

    def _drift_at(self, now: Moment) -> int:
        drift = now.at.timestamp() - now.elapsed - self._base
        return round(drift) if abs(drift) >= 1 else 0
