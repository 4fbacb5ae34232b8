"""What was known of the cluster before this server started, and how the first state of exo is joined to it.

Without it, a restart of this server would forget since when a model is ready, and why the last load failed: exo shows
neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, unique

from exo_graphql.cluster.history import (
    GONE_MEANWHILE,
    REMOVED_UNREADY,
    DownloadHistory,
    History,
    InstanceHistory,
    ModelHistory,
)
from exo_graphql.cluster.identity import is_another_cluster, may_be_incomplete
from exo_graphql.cluster.loads import Loads
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.readiness import InstanceStatus
from exo_graphql.cluster.remember import remember, shutdowns
from exo_graphql.cluster.state import RunnerStatus, State


@dataclass(frozen=True, slots=True)
class Past:
    """As of the last state that was seen before the start."""

    members: Mapping[str, str | None]
    """All nodes: name by id."""
    index: int | None = None
    """`State.index`, or that of an earlier state."""
    models: Mapping[str, ModelHistory] = field(default_factory=dict)
    instances: Mapping[str, InstanceHistory] = field(default_factory=dict)
    downloads: Mapping[tuple[str, str], DownloadHistory] = field(default_factory=dict)
    """By node and model id: the failed ones alone."""


@unique
class Fit(Enum):
    """Whether a state goes on from the past."""

    GOES_ON = "GOES_ON"
    UNCLEAR = "UNCLEAR"
    """It lacks nodes, their names or events: the next one may say more."""
    OTHER = "OTHER"
    """It is of another cluster."""


def fit(past: Past, state: State, *, waited: bool) -> Fit:
    """Whether `state` goes on from `past`. `waited`: a clearer state has been waited for long enough."""
    if not waited and (not state.nodes or may_be_incomplete(past.members, past.index, state)):
        return Fit.UNCLEAR
    return Fit.OTHER if state.nodes and is_another_cluster(past.members, state) else Fit.GOES_ON


def joined(
    past: Past,
    history: History,
    state: State,
    instance_statuses: Mapping[str, InstanceStatus],
    unloading: Mapping[str, str],
    now: Moment,
    loads: Loads,
) -> History:
    """The history after `state`, as if `past` had been seen right before it.

    `history` is what this server has seen itself: where that is a change, it is newer than the past. A model whose
    phase is another one than in the past has changed just now, as far as anybody can tell.
    """
    own = {id_: model for id_, model in history.models.items() if model.changed_at is not None or model.failure}
    models = {id_: _kept(model, now) for id_, model in past.models.items()} | {
        id_: replace(model, failure=model.failure or was.failure) if (was := past.models.get(id_)) else model
        for id_, model in own.items()
    }
    before = replace(
        history,
        models=models,
        instances={**{id_: _caught_up(id_, was, state) for id_, was in past.instances.items()}, **history.instances},
        downloads={**past.downloads, **history.downloads},
        index=past.index,
        members=frozenset(past.members),
        emptied=history.emptied or history.empty_since is not None,
        # Operations that went on load what they loaded before: none of that is requested again.
        loading=loads.under_way,
    )
    after, _ = remember(before, state, instance_statuses, unloading, now, first=False, loads=loads)
    return replace(after, models={id_: _as_far_as_known(model, now) for id_, model in after.models.items()})


def _as_far_as_known(model: ModelHistory, now: Moment) -> ModelHistory:
    """The same without saying of an instance that it was never ready: nobody has seen how it ended."""
    failure = model.failure
    if failure is None or failure.at != now.at or failure.message != REMOVED_UNREADY:
        return model
    return replace(model, failure=replace(failure, message=GONE_MEANWHILE))


def _kept(model: ModelHistory, now: Moment) -> ModelHistory:
    """The same with its order among those to be forgotten: the wall clock decides nothing else here."""
    if model.changed_at is None:
        return model
    return replace(model, changed_elapsed=now.elapsed - max(0.0, (now.at - model.changed_at).total_seconds()))


def _caught_up(instance_id: str, was: InstanceHistory, state: State) -> InstanceHistory:
    """The same with the failures that nobody saw: exo keeps a Shutdown task for each.

    Not of a runner that is failed now: that failure is new, or it is the one that was seen last.
    """
    attempts = {
        runner_id: count if _is_failed(state, runner_id) else max(count, shutdowns(state, instance_id, runner_id))
        for runner_id, count in was.attempts.items()
    }
    return replace(was, attempts=attempts)


def _is_failed(state: State, runner_id: str) -> bool:
    runner = state.runners.get(runner_id)
    return runner is not None and runner.status is RunnerStatus.FAILED
