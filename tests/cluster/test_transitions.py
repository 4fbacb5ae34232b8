"""What happened between two snapshots."""

from exo_graphql.cluster.history import LOST_WITH_MASTER, LOST_WITH_NODE, REMOVED_UNREADY
from exo_graphql.cluster.readiness import Failure, Phase
from exo_graphql.cluster.transitions import RemovedInstance, Transitions
from tests.support.documents import MODEL, Json, Story, completed, document, failed_download, instance, runner
from tests.support.recordings import at

READY = runner("Ready", prefillServerPort=None)


def state(report: Json | None, nodes: tuple[str, ...] = ("n1",), **changes: Json) -> Json:
    """One instance on the first node, with this report of its runner; None for no instance."""
    listed = [] if report is None else [instance("i1", {"n1": "r1"})]
    runners = None if report is None else {"r1": report}
    return document(nodes, listed, runners, {"n1": [completed()]}) | changes


def after(*states: Json, unloading: dict[str, str] | None = None) -> Transitions:
    """The last transitions of a story, one state a second."""
    story = Story()
    for t, one in enumerate(states):
        story.see(float(t), one, unloading=unloading if t == len(states) - 1 else None)
    return story.transitions


def test_nothing_has_happened_before_the_first_state() -> None:
    assert after(state(runner("Failed", errorMessage="boom"))) == Transitions()


def test_nothing_happens_where_nothing_changes() -> None:
    assert after(state(READY), state(READY)) == Transitions()


def test_a_phase_that_changes() -> None:
    loading = runner("Loading", layersLoaded=1, totalLayers=8)
    assert after(state(loading), state(READY)) == Transitions({MODEL: (Phase.LOADING, Phase.READY)})
    assert after(state(None), state(loading)).phases == {MODEL: (Phase.NOT_LOADED, Phase.LOADING)}


def test_a_failure_is_reported_once() -> None:
    failed = state(runner("Failed", errorMessage="boom"))
    first = after(state(READY), failed)
    assert first.failures == {MODEL: Failure(at(1), "boom", "n1", 1)}
    assert first.phases == {MODEL: (Phase.READY, Phase.FAILED)}
    assert after(state(READY), failed, failed) == Transitions()


def test_a_download_that_fails() -> None:
    waiting = state(runner("Idle"))
    failed = waiting | {"downloads": {"n1": [failed_download("disk full")]}}
    assert after(waiting, failed).failures == {MODEL: Failure(at(1), "disk full", "n1")}


def test_an_instance_that_this_server_unloads() -> None:
    seen = after(state(READY), state(READY), state(None), unloading={"i1": MODEL})
    assert seen.removed == (RemovedInstance("i1", MODEL, was_ready=True, unloaded=True, lost=False, failure=None),)
    assert seen.phases == {MODEL: (Phase.READY, Phase.UNLOADING)}


def test_an_instance_that_somebody_else_removes() -> None:
    (removed,) = after(state(READY), state(None)).removed
    assert removed == RemovedInstance("i1", MODEL, was_ready=True, unloaded=False, lost=False, failure=None)
    (removed,) = after(state(runner("Idle")), state(None)).removed
    assert removed.failure == Failure(at(1), REMOVED_UNREADY)


def test_an_instance_that_is_lost_with_its_node() -> None:
    seen = after(state(READY, ("n1", "n2")), state(None, ("n2",)))
    failure = Failure(at(1), LOST_WITH_NODE, "n1")
    assert seen.removed == (RemovedInstance("i1", MODEL, was_ready=True, unloaded=False, lost=True, failure=failure),)
    assert seen.failures == {MODEL: failure}
    assert not seen.started_again


def test_a_lost_master_is_reported_once_when_nodes_are_back() -> None:
    story = Story()
    story.see(0.0, state(READY))
    again = []
    for t, one in enumerate([document([]), document([]), document(["n1"]), document(["n1"])], start=1):
        story.see(float(t), one)
        again.append(story.transitions)
    assert [seen.started_again for seen in again] == [False, False, True, False]
    assert [removed.failure for removed in again[2].removed] == [Failure(at(3), LOST_WITH_MASTER)]
    assert again[0] == again[1] == again[3] == Transitions()
