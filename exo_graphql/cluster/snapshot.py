"""The snapshot: one state of exo and its meaning. Every answer is read from one, and a snapshot never changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from exo_graphql.cluster.contact import NO_PULSE, Pulse
from exo_graphql.cluster.expectations import NO_EXPECTATIONS, Expectations
from exo_graphql.cluster.health import unhealthy_reasons
from exo_graphql.cluster.history import History
from exo_graphql.cluster.indexed_state import IndexedState
from exo_graphql.cluster.links import Link, links_after
from exo_graphql.cluster.loads import NO_LOADS, Loads
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.readiness import InstanceStatus, NodeStatus, node_status
from exo_graphql.cluster.rules import Rules
from exo_graphql.cluster.state import ModelCard, State
from exo_graphql.cluster.status import ModelStatus, model_status


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one URL of exo does not answer."""

    url: str
    message: str
    """A sentence."""
    suggestion: str | None = None
    """What to check."""

    def __str__(self) -> str:
        return f"{self.url}: {self.message}"


@dataclass(frozen=True, slots=True)
class Source:
    """Which exo node a snapshot came from, and whether exo still answers."""

    exo_url: str
    api_node_id: str | None = None
    connected: bool = True
    refusals: tuple[Refusal, ...] = ()
    """The last error of each URL of exo; empty while exo answers."""


class Snapshot(IndexedState):
    """One immutable view of the cluster: an indexed state, and what it means together with what was seen before."""

    def __init__(
        self,
        state: State,
        history: History,
        instance_statuses: Mapping[str, InstanceStatus],
        catalogue: Mapping[str, ModelCard],
        source: Source,
        rules: Rules,
        observed: Moment,
        now: Moment,
        *,
        held: bool,
        unloading: Mapping[str, str],
        pulse: Pulse = NO_PULSE,
        loads: Loads = NO_LOADS,
        expectations: Expectations = NO_EXPECTATIONS,
        lost: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(state, catalogue)
        self.history = history
        """What exo has forgotten: see `history`."""
        self.instance_statuses = instance_statuses
        """The readiness of each listed instance, by its id."""
        self.source = source
        self.rules = rules
        self.unloading = unloading
        """Instances that this server has asked exo to delete, and whose memory is not free yet: id to model id."""
        self.loads = loads
        self.expectations = expectations
        self.lost = lost or {}
        """Models that served, are gone, and that nobody has loaded, unloaded or acknowledged since: what happened."""
        self.now = now
        """When the state was evaluated, by both clocks: at `observed` or later."""
        self.observed = observed
        """When the state was received, by both clocks."""
        self.observed_at = observed.at
        """The same by the wall clock (UTC)."""
        self.pulse = pulse
        """Whether exo's master still applies events."""
        self.stale = held or pulse.still or not source.connected or history.lag.seconds > 0.0
        """Whether the state may be out of date: it is held, exo does not answer, its master hangs, or works late."""
        self.held = held
        """Whether the state is older than the last one read, because that one has no nodes or lacks events."""
        self.node_statuses = {node.id: node_status(node.seconds_since_seen, rules) for node in state.nodes.values()}
        self.given_up = {
            instance.id for instance in state.instances.values() if history.has_given_up(instance, now, rules)
        }
        """Instances whose download has failed for good."""
        self.version = 0
        """Increases by 1 with each snapshot that differs from the one before in more than clocks."""
        self.links_version = 0
        """Increases by 1 with each snapshot whose links differ from those before."""
        self._statuses: dict[str, ModelStatus] = {}
        """By model id, those that have been computed so far."""

    def follow(self, previous: "Snapshot") -> None:
        """Makes this the next snapshot after `previous`: sets its version and takes over the indexes that are valid."""
        self.version = previous.version + (not self.same_as(previous))
        self.take_over_indexes(previous)
        if self.link_media is previous.link_media:
            self.links = previous.links
        else:
            self.links = links_after(previous.links, self.link_media, self.state.nodes, self.now.at)
        self.links_version = previous.links_version + (self.links != previous.links)

    def same_as(self, other: "Snapshot") -> bool:
        """Whether only clocks differ."""
        return (
            self.source == other.source
            and self.stale == other.stale
            and self.instance_statuses == other.instance_statuses
            and self.node_statuses == other.node_statuses
            and self.given_up == other.given_up
            and self.history.models == other.history.models
            and self.loads == other.loads
            and self.expectations == other.expectations
            and self.lost == other.lost
            and self.lists_the_same(other)
        )

    @property
    def stale_since(self) -> datetime | None:
        """Until when the state was current (UTC): until it was received or, where exo's master hangs, until it last
        changed, since such a state is received again and again. None while it is current."""
        if not self.stale:
            return None
        unchanged = max(0.0, self.observed.elapsed - self.pulse.since) if self.pulse.still else 0.0
        return self.observed_at - timedelta(seconds=unchanged)

    @property
    def connected(self) -> bool:
        """Whether exo answers."""
        return self.source.connected

    @property
    def api_node_id(self) -> str | None:
        """The exo node that answered."""
        return self.source.api_node_id

    @property
    def exo_url(self) -> str:
        """The URL of that node."""
        return self.source.exo_url

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """The links between members, and how they are compared with their best so far."""
        return links_after((), self.link_media, self.state.nodes, self.now.at)

    @cached_property
    def online_node_count(self) -> int:
        """Members that have sent a heartbeat within the last `Rules.unseen_after`."""
        return sum(status is NodeStatus.ONLINE for status in self.node_statuses.values())

    @cached_property
    def remembered_models(self) -> Mapping[str, ModelCard]:
        """Every model that was loaded since this server started, by id, even if the cluster no longer knows it."""
        return {id_: self.models.get(id_) or ModelCard(id_) for id_ in self.history.models}

    def instance_status(self, instance_id: str) -> InstanceStatus:
        """The readiness of a listed instance."""
        return self.instance_statuses[instance_id]

    def status(self, model_id: str) -> ModelStatus:
        """The readiness of a model by its full id; `found` is False for an unknown one."""
        cached = self._statuses.get(model_id)
        if cached is None:
            cached = self._statuses[model_id] = model_status(self, model_id)
        return cached

    @property
    def healthy(self) -> bool:
        """Whether there are no `unhealthy_reasons`."""
        return not self.unhealthy_reasons

    @cached_property
    def unhealthy_reasons(self) -> tuple[str, ...]:
        """Why the cluster is not healthy, a sentence each."""
        return unhealthy_reasons(self)
