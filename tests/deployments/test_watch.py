"""Who removed an instance: somebody's deletion and a loss are kept apart; in doubt it is a loss."""

from dataclasses import replace

import pytest

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import RunnerStatus
from exo_graphql.deployments.watch import Watch, observe, settled
from tests.deployments.views import NOW, deployment, later, snapshot

OWN = deployment("a", "small", owned=["i"])
LOADED = [("i", "small", ("n1",))]

FAILED = snapshot(loaded=LOADED, statuses={"i": RunnerStatus.FAILED})
RETRIED = snapshot(loaded=LOADED, statuses={"i": RunnerStatus.LOADING}, previous=FAILED)
"""exo starts a failed runner anew: after the fifth failure it deletes the instance itself."""


def _observed(before: Snapshot | None, after: Snapshot, touched: frozenset[str] = frozenset()) -> Watch:
    watch = Watch() if before is None else observe(Watch(), before, [OWN], touched, NOW)
    return observe(watch, after, [OWN], touched, later(1))


def _with_index(shown: Snapshot, index: int) -> Snapshot:
    shown.state = replace(shown.state, index=index)
    return shown


@pytest.mark.parametrize(
    ("case", "before", "after", "deleted"),
    [
        ("it was ready", snapshot(loaded=LOADED), snapshot(), True),
        ("on its way", snapshot(loaded=LOADED, statuses={"i": RunnerStatus.LOADING}), snapshot(), True),
        ("another node left", snapshot(loaded=LOADED), snapshot(("n1",)), True),
        ("a runner has failed", FAILED, snapshot(), False),
        ("a runner had failed before", RETRIED, snapshot(), False),
        ("its node left", snapshot(loaded=LOADED), snapshot(("n2",)), False),
        ("its node is stale", snapshot(loaded=LOADED), snapshot(unseen={"n1": 12.0}), False),
        ("it was out of reach", snapshot(loaded=LOADED, unseen={"n1": 12.0}), snapshot(), False),
        ("exo began anew", snapshot(loaded=LOADED), _with_index(snapshot(), 3), False),
        ("exo was out of sight", snapshot(loaded=LOADED, stale=True), snapshot(), False),
        ("this server has just started", None, snapshot(), False),
        ("it is somebody else's", snapshot(loaded=[("theirs", "small", ("n1",))]), snapshot(), False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_deleted_by_somebody_or_lost(case: str, before: Snapshot | None, after: Snapshot, deleted: bool) -> None:
    assert bool(_observed(before, after).deleted) is deleted, case


def test_what_an_operation_of_this_server_unloads_was_not_deleted_by_somebody_else() -> None:
    assert not _observed(snapshot(loaded=LOADED), snapshot(), frozenset({"small"})).deleted


def test_how_long_an_instance_has_been_out_of_reach_and_the_members_have_been_the_same() -> None:
    watch = Watch()
    for seconds, nodes, unseen in ((0, ("n1", "n2"), 12.0), (10, ("n1", "n2"), 22.0), (20, ("n1",), 32.0)):
        watch = observe(watch, snapshot(nodes, LOADED, unseen={"n1": unseen}), [OWN], frozenset(), later(seconds))
    assert watch.unreachable_since == {"i": NOW.elapsed}
    assert watch.members_changed_at == NOW.elapsed + 20
    assert not settled(watch, snapshot(("n1",)), ["n2"], later(39), 20)
    assert settled(watch, snapshot(("n1",)), ["n2"], later(40), 20)
    assert settled(watch, snapshot(("n1",)), ["N1"], later(21), 20)
    back = observe(watch, snapshot(("n1",), LOADED), [OWN], frozenset(), later(30))
    assert back.unreachable_since == {}


def test_a_stale_snapshot_changes_no_time() -> None:
    watch = observe(Watch(), snapshot(("n1",), LOADED), [OWN], frozenset(), NOW)
    stale = observe(watch, snapshot(("n2",), stale=True), [OWN], frozenset(), later(5))
    assert stale == replace(watch, snapshot=None)


def test_instances_that_come_and_go_without_our_doing_are_another_servers() -> None:
    settled_at = replace(observe(Watch(), snapshot(), [OWN], frozenset(), NOW), members_changed_at=NOW.elapsed - 200)
    theirs = [("theirs", "small", ("n1",))]
    watch = settled_at
    for seconds, loaded in ((1, theirs), (2, []), (3, LOADED)):
        watch = observe(watch, snapshot(loaded=loaded), [OWN], frozenset(), later(seconds))
        assert watch.contested(OWN.uid, later(seconds)) is None  # its own is nobody else's, whoever brings it back
    watch = observe(watch, snapshot(), [OWN], frozenset(), later(4))
    assert watch.contested(OWN.uid, later(5)) == later(4)
    watch = observe(watch, snapshot(stale=True), [OWN], frozenset(), later(6))
    assert watch.contested(OWN.uid, later(603)) == later(4)
    assert watch.contested(OWN.uid, later(604)) is None


@pytest.mark.parametrize(
    ("touched", "ago", "model"),
    [({"small"}, 200.0, "small"), (set(), 60.0, "small"), (set(), 200.0, "large")],
    ids=["an operation of ours", "nodes have just joined", "another model"],
)
def test_what_explains_itself_is_not_taken_for_another_server(touched: set[str], ago: float, model: str) -> None:
    watch = observe(Watch(), snapshot(), [OWN], frozenset(), NOW)
    watch = replace(watch, members_changed_at=NOW.elapsed - ago)
    for number in range(6):
        loaded = [(f"i{number}", model, ("n1",))] if number % 2 == 0 else []
        watch = observe(watch, snapshot(loaded=loaded), [OWN], frozenset(touched), later(number))
    assert [change for change in watch.changes.get(OWN.uid, ()) if not change.ours] == []
    assert watch.contested(OWN.uid, later(7)) is None
