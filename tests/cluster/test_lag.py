"""States of the past: a node that replays exo's log, or falls behind, is recognised by exo's own clock."""

from exo_graphql.cluster.history import LOST_WITH_MASTER
from exo_graphql.cluster.readiness import Failure, Phase
from exo_graphql.cluster.snapshot import Snapshot
from tests.support.documents import MODEL, Json, Story, completed, document, instance, runner
from tests.support.recordings import at

READY = runner("Ready", prefillServerPort=None)


def shown(*nodes: str, index: int, heartbeat: float, loaded: str | None = None) -> Json:
    """The state whose newest heartbeat came at that second by exo's clock; `loaded` is the node of an instance."""
    given: tuple[list[Json], dict[str, Json]] = ([], {})
    if loaded is not None:
        given = [instance(f"i-{loaded}", {loaded: "r1"})], {"r1": READY}
    downloads = {node: [completed()] for node in nodes}
    return document(nodes, *given, downloads, unseen=dict.fromkeys(nodes, -heartbeat), index=index)


def replayed(story: Story, began: float) -> list[Snapshot]:
    """n1 was n1-old when the model was loaded on it, an hour ago; it joins again, and replays that."""
    n1_old = ("n1-old", "n2")
    return [
        story.see(began, shown("n1", index=6, heartbeat=began)),
        story.see(began + 1, document([], index=-1)),
        story.see(began + 3, shown("n2", index=8, heartbeat=-3_600)),
        story.see(began + 6, shown(*n1_old, index=57, heartbeat=-3_590)),
        story.see(began + 20, shown(*n1_old, index=900, heartbeat=-3_000, loaded="n1-old")),
        story.see(began + 90, shown(*n1_old, index=1_900, heartbeat=-1_000, loaded="n1-old")),
        story.see(began + 150, shown("n2", index=3_900, heartbeat=began - 60)),
    ]


def test_a_node_that_replays_the_log_is_not_believed_although_members_had_other_ids() -> None:
    """Seen on a live cluster: for a minute it was called ready, and then placed on a node id that was no more."""
    story = Story()
    story.see(0.0, shown("n1-old", "n2", index=3_000, heartbeat=0.0, loaded="n1-old"))
    for t in range(5, 200, 5):
        before = story.see(float(t), shown("n2", index=3_000 + t, heartbeat=t))
    assert not before.status(MODEL).ready
    own, empty, *old = replayed(story, 200.0)
    assert not own.stale, "alone, before it has joined: that is the present as it knows it"
    assert empty.stale
    for snapshot in old[:-1]:
        assert (snapshot.stale, snapshot.healthy, snapshot.status(MODEL).ready) == (True, False, False)
        assert any("lacks the newest events" in reason for reason in snapshot.unhealthy_reasons)
    present = story.see(360.0, shown("n1", "n2", index=4_500, heartbeat=359.0))
    assert (present.stale, [node.id for node in present.nodes]) == (False, ["n1", "n2"])


def test_a_node_that_falls_ever_further_behind_is_not_believed() -> None:
    story = Story()
    story.see(0.0, shown("n1", index=100, heartbeat=0.0))
    # An overloaded exo: a second of its log takes three.
    stale = [story.see(float(t), shown("n1", index=100 + t, heartbeat=t / 3)).stale for t in range(3, 300, 3)]
    assert stale[: 15 // 3] == [False] * 5
    assert all(stale[30 // 3 :])
    # What it shows is old, and yet the newest that there is.
    late = story.see(310.0, shown("n1", index=500, heartbeat=105.0, loaded="n1"))
    assert (late.stale, late.status(MODEL).phase) == (True, Phase.UNREACHABLE)
    assert late.unhealthy_reasons[0] == "exo applies its events late: what it shows is the past."
    assert not story.see(400.0, shown("n1", index=900, heartbeat=398.0)).stale


def test_what_was_ready_before_is_unknown_while_only_the_past_is_shown() -> None:
    story = Story()
    story.see(0.0, shown("n1", index=3_000, heartbeat=0.0, loaded="n1"))
    assert story.see(5.0, shown("n1", index=900, heartbeat=-3_000, loaded="n1")).status(MODEL).ready
    unknown = story.see(20.0, shown("n1", index=1_900, heartbeat=-1_500, loaded="n1")).status(MODEL)
    assert (unknown.phase, unknown.stale) == (Phase.UNREACHABLE, True)
    assert unknown.message == "The exo node that answers has lacked the newest events for 10 s or more."
    assert story.see(30.0, shown("n1", index=3_100, heartbeat=29.0, loaded="n1")).status(MODEL).ready


def test_a_master_whose_clock_is_late_is_believed_after_a_minute() -> None:
    story = Story()
    story.see(0.0, shown("n1", "n2", index=3_000, heartbeat=0.0, loaded="n1"))
    stale = [story.see(float(t), shown("n2", index=t, heartbeat=t - 3_600)).stale for t in range(5, 100, 5)]
    assert stale == [True] * 12 + [False] * 7
    assert story.snapshot is not None
    failure = story.snapshot.status(MODEL).failure
    assert failure == Failure(at(65), LOST_WITH_MASTER)


def test_a_new_session_on_the_remaining_nodes_is_believed_at_once() -> None:
    story = Story()
    story.see(0.0, shown("n1", "n2", index=3_000, heartbeat=0.0, loaded="n1"))
    restarted = story.see(8.0, shown("n2", index=12, heartbeat=7.0))
    assert (restarted.stale, restarted.status(MODEL).failure) == (False, Failure(at(8), LOST_WITH_MASTER))


def test_a_state_without_heartbeats_says_nothing() -> None:
    story = Story()
    story.see(0.0, shown("n1", index=100, heartbeat=0.0))
    silent = {**shown("n1", index=101, heartbeat=0.0), "lastSeen": {}}
    assert not story.see(100.0, silent).stale
