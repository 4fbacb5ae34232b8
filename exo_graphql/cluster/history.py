"""What outlives one state of exo: when a phase changed, the failure that exo has forgotten, whether it gave up.

exo forgets: a failed runner is retried within seconds, a failed download is pending again within a minute, an
instance that failed five times deletes itself, and a lost master takes every instance with it. `History` carries
what a caller still needs from snapshot to snapshot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.readiness import (
    Failure,
    Phase,
)
from exo_graphql.cluster.rules import Rules
from exo_graphql.cluster.state import Download, DownloadKind, Instance, State

# Models whose past is kept; beyond it the ones that changed longest ago are forgotten.
KEPT_MODELS = 1000

LOST_WITH_MASTER = (
    "The cluster lost its master and exo's state started again: every instance was lost, and exo places none again."
)
LOST_WITH_NODE = "A node that held a shard was lost, and exo removed the instance."
REMOVED_UNREADY = "The instance was removed before it was ready, by somebody else or by exo."
UNLOADED_UNREADY = "An operation of this server removed the instance before it was ready."


@dataclass(frozen=True, slots=True)
class ModelHistory:
    """What is remembered of a model. `changed_at` is None until a change has been seen."""

    phase: Phase
    changed_at: datetime | None = None
    failure: Failure | None = None
    gave_up: bool = False
    """Nothing more comes by itself: its last instance is gone without having become ready, or was lost with its node
    or master; or an operation of this server that was to load it has failed. Until somebody asks for it again."""
    judged: str | None = None
    """The failed operation that has been taken into account."""
    changed_elapsed: float = field(default=float("-inf"), compare=False)
    """`changed_at` by the clock that decides: what changed longest ago is forgotten first."""


NEVER_LOADED = ModelHistory(Phase.NOT_LOADED)
"""What is known of any other model."""


@dataclass(frozen=True, slots=True)
class InstanceHistory:
    """What is remembered of an instance while it is listed."""

    model_id: str
    phase: Phase
    was_ready: bool
    """Every runner has been ready, and none has failed since: exo tries a failed one anew."""
    node_id: str | None
    """The node that failed or is out of reach; else None."""
    attempts: Mapping[str, int] = field(default_factory=dict)
    """Failures so far, by runner."""
    failed: frozenset[str] = frozenset()
    """Runners that are failed now."""
    nodes: Mapping[str, str | None] = field(default_factory=dict)
    """Node by runner."""
    failure: Failure | None = None
    """Of its last attempt that failed."""

    @property
    def attempt(self) -> int:
        """The number of the attempt that is under way, or that has failed and is not yet followed by another."""
        return max(self.attempts.values(), default=0) + (not self.failed)


@dataclass(frozen=True, slots=True)
class DownloadHistory:
    """A download that an instance waits for."""

    most_bytes: int = 0
    """The most that has been there."""
    ongoing_bytes: int | None = None
    """What was there in the last state, if it was under way; else None."""
    error: str | None = None
    """Why it last failed; None until it does."""
    quiet_since: float | None = None
    """When (`Moment.elapsed`), since it first failed, a byte last came (at first: when it failed); None until then."""

    def seen(self, download: Download, now: Moment) -> "DownloadHistory":
        """The same after another state.

        exo tells 0 bytes for a partial download that waits, and the partial again once it goes on: growth is a byte
        only beyond all that has been there, or from one state under way to the next (a start from nothing).
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
    """Everything remembered, as of one snapshot."""

    models: Mapping[str, ModelHistory] = field(default_factory=dict)
    instances: Mapping[str, InstanceHistory] = field(default_factory=dict)
    fetches: Mapping[tuple[str, str], DownloadHistory] = field(default_factory=dict)
    """By node and model."""
    behind_since: float | None = None
    """When (`Moment.elapsed`) the first state arrived that lacks events which an earlier one had; None while none
    does."""
    empty_since: float | None = None
    """When (`Moment.elapsed`) the first state without nodes arrived since the last one with nodes; else None."""
    index: int | None = None
    members: frozenset[str] = frozenset()
    emptied: bool = False
    """A state without nodes has been seen since the last one with nodes."""
    loading: frozenset[str] = frozenset()
    """Models that an operation of this server was to load."""

    def went_back(self, state: State) -> bool:
        """Whether the state lacks events that an earlier one had."""
        return self.index is not None and state.index is not None and state.index < self.index

    def is_behind(self, state: State) -> bool:
        """Whether it is of a node of the same cluster and session that lags: everybody is there, only events lack.

        A session that began anew shows by its members: the old master is missing, or they came back one by one.
        """
        return bool(self.members) and not self.emptied and self.went_back(state) and self.members <= state.nodes.keys()

    def has_given_up(self, instance: Instance, now: Moment, rules: Rules) -> bool:
        """Whether a download that the instance needs failed and no byte has come for `rules.give_up_after`."""
        return any(
            fetch is not None and fetch.quiet_since is not None and now.since(fetch.quiet_since) >= rules.give_up_after
            for shard in instance.shards
            if shard.node_id is not None
            for fetch in [self.fetches.get((shard.node_id, instance.model_id))]
        )
