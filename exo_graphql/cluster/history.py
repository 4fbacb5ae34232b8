"""What must outlive one state of exo: when a phase changed, failures that exo no longer shows, what exo has given up.

exo forgets: a failed runner is retried within seconds, a failed download is pending again within a minute, an
instance that failed five times deletes itself, and with its master exo loses every instance. `History` is carried from
snapshot to snapshot by `remember`.

A state whose index is lower than before is either a rewind or a restart:

- Rewind: members a and b at index 3,200, then a, b and c at index 40. Node c has joined, replays the log and answers
  this server. No member is missing, so only events are: the last snapshot is kept until the index has caught up, for at
  most `Rules.behind_grace` (`is_behind`).
- Restart: members a and b at index 3,200, then b alone at index 12, often after an empty state at index -1. The master
  a is gone, and exo started from nothing: every instance is lost, and the history says so (`LOST_WITH_MASTER`).
- Old: whatever its index and its members, a state whose newest heartbeat is minutes older than that of an earlier state
  is of the past (`lag`): the node replays the log, or falls ever further behind.
- Node ids are new at each start of exo: a and b at index 3,200, then d and e at index 5,000, is a restart although the
  index is higher.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from exo_graphql.cluster.lag import Lag
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.readiness import (
    Failure,
    Phase,
)
from exo_graphql.cluster.rules import Rules
from exo_graphql.cluster.state import Download, DownloadKind, Instance, State

# Bounds the memory of a server that runs for months. Beyond it, the models that changed longest ago are forgotten.
KEPT_MODELS = 1000

LOST_WITH_MASTER = "The cluster lost its master and, with it, every instance. exo does not place them again."
LOST_WITH_NODE = "The cluster lost a node that held a shard, and exo removed the instance."
REMOVED_UNREADY = "The instance was removed before it was ready, by exo or another client."
GONE_MEANWHILE = "The instance was gone when this server started again; it was not ready when it was last seen."
UNLOADED_UNREADY = "An operation of this server removed the instance before it was ready."


@dataclass(frozen=True, slots=True)
class ModelHistory:
    """What is remembered of a model. `changed_at` is None until its phase has changed."""

    phase: Phase
    changed_at: datetime | None = None
    failure: Failure | None = None
    gave_up: bool = False
    """The model will not be loaded unless it is requested again: its last instance was removed before it was ready, or
    lost with its node or master, or the operation of this server that should have loaded it has failed."""
    failed_operation_id: str | None = None
    """The failed operation that `gave_up` already takes into account."""
    changed_elapsed: float = field(default=float("-inf"), compare=False)
    """`changed_at` as `Moment.elapsed`: the model that changed longest ago is forgotten first."""


NEVER_LOADED = ModelHistory(Phase.NOT_LOADED)
"""The history of any other model."""


@dataclass(frozen=True, slots=True)
class InstanceHistory:
    """What is remembered of an instance while it is listed."""

    model_id: str
    phase: Phase
    was_ready: bool
    """Every runner has been ready, and none has failed since (exo would be starting it again)."""
    node_id: str | None
    """The node that failed or is out of reach; else None."""
    attempts: Mapping[str, int] = field(default_factory=dict)
    """The number of failures so far, by runner."""
    failed: frozenset[str] = frozenset()
    """The runners that are failed now."""
    nodes: Mapping[str, str | None] = field(default_factory=dict)
    """Node by runner."""
    failure: Failure | None = None
    """Of its last failed attempt."""

    @property
    def attempt(self) -> int:
        """The number of the present attempt, from 1: the one under way, or the failed one until the next begins.

        After two failures it is 2 while a runner is still failed, and 3 once exo starts it again.
        """
        return max(self.attempts.values(), default=0) + (not self.failed)


@dataclass(frozen=True, slots=True)
class DownloadHistory:
    """A download that an instance waits for."""

    most_bytes: int = 0
    """The largest size that it has had."""
    ongoing_bytes: int | None = None
    """Its size in the last state, if it was under way; else None."""
    error: str | None = None
    """Why it last failed; None if it has not."""
    quiet_since: float | None = None
    """When (`Moment.elapsed`) it first failed, or a byte arrived after that; None if it has not failed."""

    def seen(self, download: Download, now: Moment) -> "DownloadHistory":
        """The same after another state.

        exo reports a partial download of 5 GiB as 0 bytes while it waits, and as 5 GiB when it continues: 5, 0, 5 is no
        progress. So a byte has arrived only if the size exceeds every earlier one, or if it grows from one state under
        way to the next (a download that starts again from 0).
        """
        arrived = download.downloaded_bytes
        ongoing = arrived if download.kind is DownloadKind.ONGOING else None
        grew = (arrived or 0) > self.most_bytes or (
            ongoing is not None and self.ongoing_bytes is not None and ongoing > self.ongoing_bytes
        )
        return replace(
            self,
            quiet_since=now.elapsed if grew and self.quiet_since is not None else self.quiet_since,
            most_bytes=max(self.most_bytes, arrived or 0),
            ongoing_bytes=ongoing,
        )


@dataclass(frozen=True, slots=True)
class History:
    """Everything that is remembered, as of one snapshot."""

    models: Mapping[str, ModelHistory] = field(default_factory=dict)
    """By model id: every model that has been loaded, or should have been."""
    instances: Mapping[str, InstanceHistory] = field(default_factory=dict)
    """By instance id: those of the last state."""
    downloads: Mapping[tuple[str, str], DownloadHistory] = field(default_factory=dict)
    """By node and model id: the unfinished downloads that an instance waits for."""
    behind_since: float | None = None
    """When (`Moment.elapsed`) the first state of the present rewind arrived; None if there is no rewind."""
    lag: Lag = field(default=Lag(), compare=False)
    """Of the last state that was read, shown or not."""
    empty_since: float | None = None
    """When (`Moment.elapsed`) the first of the present states without nodes arrived; None if the last one has nodes."""
    index: int | None = None
    """`State.index` of the last state, rewinds aside."""
    members: frozenset[str] = frozenset()
    """Its nodes."""
    emptied: bool = False
    """Whether a state without nodes was read since the last one with nodes."""
    loading: frozenset[str] = frozenset()
    """Models that an operation of this server was loading."""

    def went_back(self, state: State) -> bool:
        """Whether the index of the state is lower than the last one."""
        return self.index is not None and state.index is not None and state.index < self.index

    def is_behind(self, state: State) -> bool:
        """Whether the state is a rewind: all known members are there, only events are missing.

        After a restart a member is missing: the old master, or those that have not come back yet.
        """
        return bool(self.members) and not self.emptied and self.went_back(state) and self.members <= state.nodes.keys()

    def has_given_up(self, instance: Instance, now: Moment, rules: Rules) -> bool:
        """Whether a download that the instance needs has failed, and no byte arrived for `rules.give_up_after`."""
        return any(
            download is not None
            and download.quiet_since is not None
            and now.since(download.quiet_since) >= rules.give_up_after
            for shard in instance.shards
            if shard.node_id is not None
            for download in [self.downloads.get((shard.node_id, instance.model_id))]
        )
