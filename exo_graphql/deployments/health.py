"""Which deployments are reasons why the cluster is not healthy, and which models are about to be loaded. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from exo_graphql.cluster.expectations import Expectations
from exo_graphql.cluster.moment import Moment
from exo_graphql.deployments.assess import Assessment
from exo_graphql.deployments.deployment import DeploymentState
from exo_graphql.deployments.timetable import usual_seconds

CONCERN_SECONDS = 60.0
"""A deployment in trouble for this long makes the cluster unhealthy. A first retry comes after 10 s."""
_TROUBLED = frozenset({DeploymentState.RETRYING, DeploymentState.UNSATISFIABLE})
_COMING = frozenset({DeploymentState.WAITING, DeploymentState.PROGRESSING, DeploymentState.RETRYING})


@dataclass(frozen=True, slots=True)
class Health:
    """By uid, since when (`Moment.elapsed`) deployments have been in trouble or in progress."""

    troubled_since: Mapping[str, float] = field(default_factory=dict)
    """From the first failure until it is READY or not wanted: further attempts do not make it healthy."""
    progressing_since: Mapping[str, float] = field(default_factory=dict)

    def after(self, assessments: Iterable[Assessment], now: Moment) -> "Health":
        """The health after another comparison."""
        troubled: dict[str, float] = {}
        progressing: dict[str, float] = {}
        for each in assessments:
            uid = each.deployment.uid
            if each.wanted and each.state is not DeploymentState.READY:
                if each.state in _TROUBLED or uid in self.troubled_since:
                    troubled[uid] = self.troubled_since.get(uid, now.elapsed)
                if each.state is DeploymentState.PROGRESSING:
                    progressing[uid] = self.progressing_since.get(uid, now.elapsed)
        return Health(troubled, progressing)

    def expectations(self, assessments: Iterable[Assessment], now: Moment) -> Expectations:
        """The models that are about to be loaded, and the reasons why the cluster is not healthy."""
        coming: set[str] = set()
        concerns: list[str] = []
        for each in assessments:
            uid = each.deployment.uid
            if not each.wanted:
                continue
            if each.state in _COMING:
                coming.add(each.deployment.spec.model_id)
            troubled = now.elapsed - self.troubled_since.get(uid, now.elapsed) >= CONCERN_SECONDS
            # Before its first load nobody knows how long it takes: its weights may have to be fetched.
            usual = usual_seconds(each.deployment.load_times, None) if each.deployment.load_times else float("inf")
            slow = now.elapsed - self.progressing_since.get(uid, now.elapsed) >= 2 * usual
            if troubled or slow:
                concerns.append(f"Deployment {each.deployment.name} is {each.state.value}: {_sentence(each, slow)}")
        return Expectations(frozenset(coming), tuple(concerns))


def _sentence(each: Assessment, slow: bool) -> str:  # noqa: FBT001
    """The reason without what changes from second to second, since each change of it is pushed to subscribers."""
    if each.state is not DeploymentState.PROGRESSING:
        return each.reason
    failure = each.deployment.last_failure
    if failure is not None:
        return failure.message
    return "it takes twice as long as usual." if slow else "it is loaded again, and not ready yet."
