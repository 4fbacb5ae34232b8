"""A master counts as hung if reads show no change, and only then."""

import pytest

from exo_graphql.cluster.contact import Contact
from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.snapshot import Snapshot
from tests.support.documents import MODEL, Json, Story, document, instance, runner
from tests.support.recordings import moment

READY = runner("Ready", prefillServerPort=None)


def two_nodes(index: int | None = 7, unseen: float = 0.0) -> Json:
    """A ready instance over two nodes, and the pulse of exo's master: its index, and when a node was last seen."""
    runners = {"r1": READY, "r2": READY}
    state = document(["n1", "n2"], [instance("i1", {"n1": "r1", "n2": "r2"})], runners, unseen={"n1": unseen})
    return {**state, "lastEventAppliedIdx": index}


def _read(story: Story, t: float, *, index: int = 7, unseen: float = 0.0, unbroken: bool = True) -> Snapshot:
    """A good read of a state that shows the same instance; `index` and `lastSeen` are its pulse."""
    return story.see(t, two_nodes(index, -unseen), contact=Contact(None, t - 0.04, unbroken))


def test_a_master_that_has_applied_no_event_for_15_seconds_makes_everything_unreachable() -> None:
    story = Story()
    for t in (0.0, 5.0, 10.0, 15.0):
        fine = _read(story, t)
        assert (fine.stale, fine.status(MODEL).phase) == (False, Phase.READY), t
        assert fine.stale_since is None
    hung = _read(story, 20.0)
    assert (hung.stale, hung.connected, hung.healthy) == (True, True, False)
    assert hung.status(MODEL).phase is Phase.UNREACHABLE
    assert hung.unhealthy_reasons[0] == "exo's master has applied no events for 15 s or more: it seems to hang."
    # Not since this read: such a state is received again and again.
    assert hung.stale_since == moment(0.0).at
    later = _read(story, 60.0).stale_since
    assert later is not None
    assert abs((later - moment(0.0).at).total_seconds()) < 0.001
    story = Story()
    _read(story, 0.0)
    _read(story, 20.0)
    assert story.see(21.0, None).status(MODEL).phase is Phase.UNREACHABLE, "without a new state nothing has changed"
    assert _read(story, 22.0, index=8).status(MODEL).phase is Phase.READY


@pytest.mark.parametrize("moves", ["index", "lastSeen"])
def test_a_master_that_applies_one_event_now_and_then_does_not_hang(moves: str) -> None:
    story = Story()
    for t in range(0, 100, 5):
        moved = t // 15
        # A heartbeat each 15 s, of that moment.
        snapshot = _read(story, t, index=7 + moved) if moves == "index" else _read(story, t, unseen=15.0 * moved)
        assert not snapshot.stale, t


def test_a_state_that_did_not_change_while_nothing_was_read_proves_nothing() -> None:
    story = Story()
    _read(story, 0.0)
    # A laptop slept for an hour, and exo with it.
    assert not _read(story, 3600.0, unbroken=False).stale
    assert not _read(story, 3610.0).stale
    assert _read(story, 3616.0).stale


def test_slow_and_rare_reads_are_evidence_too() -> None:
    story = Story()
    _read(story, 0.0)
    assert _read(story, 100.0).stale


def test_a_state_without_index_and_last_seen_never_counts_as_that_of_a_hung_master() -> None:
    story = Story()
    state = {**two_nodes(None), "lastSeen": {}}
    for t in (0.0, 20.0, 40.0):
        assert not story.see(t, state, contact=Contact(None, t, unbroken=True)).stale
