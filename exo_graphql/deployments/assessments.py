"""The last assessment of every deployment, published whenever it changes, and what follows for the cluster's health."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime

from exo_graphql.cluster.expectations import Expectations
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.upstream import Upstream
from exo_graphql.deployments.assess import Assessment
from exo_graphql.deployments.deployment import DeploymentState
from exo_graphql.deployments.health import Health
from exo_graphql.deployments.memories import Memory


class Assessments:
    """Use as a context manager: leaving it ends the demand for snapshots that this has."""

    def __init__(self, upstream: Upstream) -> None:
        self.version = 0
        """Increases whenever an assessment changes."""
        self.concern: str | None = None
        """Another reason why the cluster is not healthy: a deployments file that was refused; None if there is none."""
        self._upstream = upstream
        self._assessments: dict[str, Assessment] = {}
        self._changed_at: dict[str, datetime] = {}
        self._health = Health()
        self._expectations = Expectations()
        self._demand = ExitStack()
        self._has_demand = False
        self._listeners: list[Callable[[], None]] = []

    def __enter__(self) -> "Assessments":
        return self

    def __exit__(self, *_: object) -> None:
        self._demand.close()
        self._has_demand = False

    def all(self) -> tuple[Assessment, ...]:
        """Every deployment that is not deleted, by name, as last compared."""
        return tuple(self._assessments[name] for name in sorted(self._assessments))

    def is_ready(self, name: str) -> bool:
        """Whether it was READY when it was last compared."""
        assessment = self._assessments.get(name)
        return assessment is not None and assessment.state is DeploymentState.READY

    def changed_at(self, name: str) -> datetime | None:
        """When its state last changed (UTC)."""
        return self._changed_at.get(name)

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back whenever an assessment changes, synchronously; returns how to stop it."""
        self._listeners.append(callback)

        def stop() -> None:
            with suppress(ValueError):
                self._listeners.remove(callback)

        return stop

    def publish(
        self, assessments: Iterable[Assessment], now: Moment, memories: Mapping[str, Memory] | None = None
    ) -> None:
        """Replaces the assessments, and calls the listeners if any has changed.

        `memories`, by uid, say since when a state lasts that began before this server looked, or that the leader saw.
        """
        known = {each.deployment.name: each for each in assessments}
        before, times = self._assessments, self._changed_at
        self._changed_at = {}
        for name, each in known.items():
            memory = None if memories is None else memories.get(each.deployment.uid)
            was = before.get(name)
            if memory is not None and memory.state is each.state:
                self._changed_at[name] = memory.changed_at
            else:
                same = was is not None and was.state is each.state
                self._changed_at[name] = times.get(name, now.at) if same else now.at
        changed = known != before or times != self._changed_at
        self._assessments = known
        self._health = self._health.after(known.values(), now)
        expectations = self._health.expectations(known.values(), now)
        if self.concern is not None:
            expectations = replace(expectations, concerns=(*expectations.concerns, self.concern))
        if expectations != self._expectations:
            self._expectations = expectations
            self._upstream.mark_expectations(expectations)
        idle_armed = any(each.deployment.spec.idle_unload_seconds and each.ready for each in known.values())
        self._set_demand(idle_armed or any(each.waits_for_exo for each in known.values()))
        if changed:
            self.version += 1
            for listener in tuple(self._listeners):
                listener()

    def _set_demand(self, wanted: bool) -> None:  # noqa: FBT001
        """While a deployment waits for exo, the state is read as if a client had subscribed; else as if none had."""
        if wanted and not self._has_demand:
            self._demand.enter_context(self._upstream.subscriber())
        elif not wanted and self._has_demand:
            self._demand.close()
        self._has_demand = wanted
