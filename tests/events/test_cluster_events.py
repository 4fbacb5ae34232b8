"""What happened between two snapshots: on every recording of a real exo, and by the rules one by one."""

from typing import Any

import pytest

from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.contact import Contact
from exo_graphql.cluster.snapshot import Refusal, Source
from exo_graphql.events import NEW_WATCH, EventKind, Occurrence, Severity, cluster_events
from exo_graphql.exo.parse import read_state
from tests.support.documents import (
    MODEL,
    Json,
    Story,
    completed,
    document,
    failed_download,
    instance,
    linked,
    ongoing,
    pending,
    runner,
)
from tests.support.recordings import EXO, NAMES, moment, steps

READY = runner("Ready", prefillServerPort=None)
LOADING = runner("Loading", layersLoaded=1, totalLayers=8)
A, B, SLOW, FAIL = "rig/tiny-llama-a", "rig/tiny-qwen-b", "rig/dl-slow", "rig/dl-fail"

RECORDED: dict[str, list[tuple[str, str | None]]] = {
    "00-one-node-idle": [],
    "01-boot-n1": [("NODE_JOINED", "mac-2")],
    "10-place-load-ready": [("MODEL_READY", A)],
    "20-chat": [],
    "21-double-place": [("MODEL_READY", A)],
    "23-swap": [("MODEL_UNLOADED", A), ("MODEL_READY", B)],
    "40-download-then-load": [("DOWNLOAD_STARTED", SLOW), ("DOWNLOAD_COMPLETED", SLOW), ("MODEL_READY", SLOW)],
    "44-download-failed": [
        ("DOWNLOAD_STARTED", FAIL),
        ("DOWNLOAD_STARTED", FAIL),
        ("MODEL_FAILED", FAIL),
        ("DOWNLOAD_FAILED", FAIL),
    ],
    "50-runner-failed": [*([("MODEL_FAILED", "rig/tiny-broken")] * 5), ("MODEL_GIVEN_UP", "rig/tiny-broken")],
    "60-three-node-idle": [],
    "61-two-node-pipeline": [("MODEL_READY", A)],
    "62-two-node-chat": [],
    "70-kill9-worker-n1": [("NODE_STALE", "mac-3"), ("MODEL_LOST", B), ("NODE_LEFT", "mac-3")],
    "72-kill9-master-n3": [("ELECTION", None), ("MODEL_LOST", A)],
}


@pytest.mark.parametrize("name", NAMES)
def test_what_happened_in_a_recording(name: str) -> None:
    snapshot, watch, found = None, NEW_WATCH, []
    for step in steps(name):
        following, transitions = advance(snapshot, read_state(step.document), moment(step.t), EXO)
        watch, events = cluster_events(watch, snapshot, following, transitions)
        found += [(event.kind.value, event.model_id or event.node_name) for event in events]
        snapshot = following
    assert found == RECORDED[name]


class Observer(Story):
    """A story, and the events of each of its steps."""

    def __init__(self) -> None:
        super().__init__()
        self._watch = NEW_WATCH

    def events(self, t: float, state: Json | None, **more: Any) -> tuple[Occurrence, ...]:
        """What happened on the way to this state."""
        before = self.snapshot
        after = self.see(t, state, **more)
        self._watch, events = cluster_events(self._watch, before, after, self.transitions)
        return events

    def kinds(self, t: float, state: Json | None, **more: Any) -> list[EventKind]:
        """The same by kind."""
        return [event.kind for event in self.events(t, state, **more)]


def loaded(
    *copies: tuple[str, str, Json], nodes: tuple[str, ...] = ("n1", "n2"), unseen: dict[str, float] | None = None
) -> Json:
    """Copies of the model, each with its id, its node and its runner's report."""
    return document(
        nodes,
        [instance(id_, {node: f"r-{id_}"}) for id_, node, _ in copies],
        {f"r-{id_}": report for id_, _, report in copies},
        {node: [completed()] for node in nodes},
        unseen=unseen,
    )


def test_what_is_there_at_the_start_is_no_event() -> None:
    observer = Observer()
    assert observer.events(0, loaded(("i1", "n1", READY))) == ()
    assert observer.events(1, loaded(("i1", "n1", READY))) == ()


def test_a_loss_is_reported_once_and_the_return_as_well() -> None:
    observer = Observer()
    observer.events(0, loaded(("i1", "n1", READY)))
    lost = observer.events(11, loaded(("i1", "n1", READY), unseen={"n1": 11}))
    assert [event.kind for event in lost] == [EventKind.NODE_STALE, EventKind.MODEL_LOST]
    assert lost[1].severity is Severity.ERROR
    assert (lost[1].node_id, lost[1].node_name) == ("n1", "mac-n1")
    assert observer.kinds(12, loaded(("i1", "n1", READY), unseen={"n1": 12})) == []
    back = observer.events(13, loaded(("i1", "n1", READY)))
    assert [event.kind for event in back] == [EventKind.NODE_RETURNED, EventKind.MODEL_READY]
    assert back[1].message == f"Model {MODEL} is ready again."
    observer.events(24, loaded(("i1", "n1", READY), unseen={"n1": 11}))
    assert observer.kinds(60, loaded(nodes=("n2",))) == [EventKind.NODE_LEFT]


def test_a_model_that_exo_was_starting_again_is_lost_as_well() -> None:
    observer = Observer()
    observer.events(0, loaded(("i1", "n1", READY)))
    observer.events(1, loaded(("i1", "n1", LOADING)))
    lost = observer.kinds(12, loaded(("i1", "n1", LOADING), unseen={"n1": 11}))
    assert lost == [EventKind.NODE_STALE, EventKind.MODEL_LOST]
    assert observer.kinds(60, loaded(nodes=("n2",))) == [EventKind.NODE_LEFT]


def test_a_copy_that_is_lost_while_another_serves_is_a_warning() -> None:
    observer = Observer()
    observer.events(0, loaded(("i1", "n1", READY), ("i2", "n2", READY)))
    lost = observer.events(1, loaded(("i2", "n2", READY), nodes=("n2",)))
    assert [(event.kind, event.severity) for event in lost] == [
        (EventKind.NODE_LEFT, Severity.WARNING),
        (EventKind.MODEL_LOST, Severity.WARNING),
    ]
    assert "1 still ready" in lost[1].message


@pytest.mark.parametrize(
    ("report", "unloading", "message"),
    [
        (READY, {"i1": MODEL}, f"Model {MODEL} was unloaded by this server."),
        (READY, {}, f"Model {MODEL} was unloaded by another client of exo."),
        (LOADING, {}, f"Model {MODEL} was unloaded by another client of exo before it was ready."),
        (LOADING, {"i1": MODEL}, f"Model {MODEL} was unloaded by this server before it was ready."),
    ],
)
def test_a_deletion_is_no_loss(report: Json, unloading: dict[str, str], message: str) -> None:
    observer = Observer()
    observer.events(0, loaded(("i1", "n1", report)))
    observer.events(1, loaded(("i1", "n1", report)), unloading=unloading)
    assert [(e.kind, e.message) for e in observer.events(2, loaded(), unloading=unloading)] == [
        (EventKind.MODEL_UNLOADED, message)
    ]


def test_a_copy_that_is_unloaded_while_another_serves_is_called_a_copy() -> None:
    observer = Observer()
    observer.events(0, loaded(("i1", "n1", READY), ("i2", "n2", READY)))
    (event,) = observer.events(1, loaded(("i2", "n2", READY)))
    assert event.message == f"A copy of model {MODEL} was unloaded by another client of exo, and 1 still ready."


def test_an_unload_that_was_cancelled_is_no_news_of_the_model() -> None:
    observer = Observer()
    observer.events(0, loaded(("i1", "n1", READY)))
    assert observer.kinds(1, loaded(("i1", "n1", READY)), unloading={"i1": MODEL}) == []
    assert observer.snapshot is not None
    assert observer.snapshot.instance_status("i1").phase.value == "UNLOADING"
    assert observer.kinds(2, loaded(("i1", "n1", READY))) == []


def test_a_restart_of_exo_is_an_election_and_no_news_of_nodes_that_stay() -> None:
    observer = Observer()
    observer.events(0, loaded(("i1", "n1", READY)))

    def restarted(*nodes: str) -> Json:
        state = document(nodes, index=3)
        for id_ in nodes:
            state["nodeIdentities"][id_]["friendlyName"] = f"mac-{id_.removeprefix('new-')}"
        return state

    events = observer.events(5, restarted("new-n1", "n9"))
    assert [(event.kind, event.node_name) for event in events if event.kind is not EventKind.MODEL_LOST] == [
        (EventKind.ELECTION, None),
        (EventKind.NODE_JOINED, "mac-n9"),
    ]
    assert [event.model_id for event in events if event.kind is EventKind.MODEL_LOST] == [MODEL]
    # The second node takes some seconds longer.
    assert observer.kinds(20, restarted("new-n1", "n9", "new-n2")) == []
    assert observer.kinds(60, restarted("new-n1", "n9", "new-n2")) == []
    assert observer.kinds(61, restarted("new-n1", "new-n2")) == [EventKind.NODE_LEFT]


def test_a_node_that_does_not_come_back_after_an_election_has_left_once() -> None:
    observer = Observer()
    observer.events(0, document(("n1", "n2", "n3")))
    nameless = document(("n1", "n3"), index=3)
    del nameless["nodeIdentities"]["n3"]
    assert observer.kinds(5, nameless) == [EventKind.ELECTION]
    assert observer.kinds(6, document(("n1",), index=4)) == []
    assert observer.kinds(12, document(("n1", "n3"), index=9)) == []
    assert observer.kinds(34, document(("n1", "n3"), index=9)) == []
    (left,) = observer.events(35, document(("n1", "n3"), index=9))
    assert (left.kind, left.message) == (EventKind.NODE_LEFT, "Node mac-n2 has not come back since the election.")
    assert observer.kinds(36, document(("n1", "n3"), index=9)) == []
    assert observer.kinds(90, document(("n1", "n2", "n3"), index=9)) == [EventKind.NODE_JOINED]


def test_a_node_has_joined_once_it_has_a_name() -> None:
    observer = Observer()
    observer.events(0, document(("n1",)))
    nameless = document(("n1", "n2"))
    del nameless["nodeIdentities"]["n2"]
    assert observer.kinds(1, nameless) == []
    assert [event.node_name for event in observer.events(2, document(("n1", "n2")))] == ["mac-n2"]


def test_exo_that_does_not_answer_and_is_back() -> None:
    observer, silent = Observer(), Contact(silent_since=1.0)
    refusals = (Refusal("http://exo", "exo did not answer within 2 s."),)
    gone = Source("http://exo", None, connected=False, refusals=refusals)
    observer.events(0, loaded(("i1", "n1", READY)))
    (unreachable,) = observer.events(4, None, source=gone, contact=silent)
    assert unreachable.kind is EventKind.EXO_UNREACHABLE
    assert unreachable.message == "exo does not answer. http://exo: exo did not answer within 2 s."
    assert observer.kinds(12, None, source=gone, contact=silent) == [EventKind.MODEL_LOST]
    assert observer.kinds(13, loaded(("i1", "n1", READY))) == [EventKind.EXO_BACK, EventKind.MODEL_READY]


def test_a_download_that_exo_did_not_list_before() -> None:
    observer = Observer()
    observer.events(0, document(("n1", "n2"), downloads={"n1": [pending("x/other")]}))
    state = document(("n1", "n2"), downloads={"n1": [pending("x/other"), ongoing()], "n2": [ongoing()]})
    started = observer.events(1, state)
    assert [(event.kind, event.node_id) for event in started] == [
        (EventKind.DOWNLOAD_STARTED, "n1"),
        (EventKind.DOWNLOAD_STARTED, "n2"),
    ]
    # What was on the disk before is listed once the node has read it, and one that failed at once never as under way.
    state["downloads"]["n1"] += [completed("x/old"), failed_download(model="x/gone")]
    assert [(e.kind, e.model_id) for e in observer.events(2, state)] == [(EventKind.DOWNLOAD_FAILED, "x/gone")]


def test_a_download_that_does_not_progress() -> None:
    observer = Observer()
    state = document(("n1",), downloads={"n1": [ongoing(downloaded=5)]})
    observer.events(0, state)
    assert observer.kinds(59, state) == []
    assert observer.kinds(61, state) == [EventKind.DOWNLOAD_STALLED]
    assert observer.kinds(200, state) == []
    state["downloads"]["n1"] = [ongoing(downloaded=6)]
    assert observer.kinds(201, state) == []
    assert observer.kinds(262, state) == [EventKind.DOWNLOAD_STALLED]


def test_the_time_without_exo_is_no_stall() -> None:
    observer = Observer()
    state = document(("n1",), downloads={"n1": [ongoing(downloaded=5)]})
    observer.events(0, state)
    observer.events(50, None, source=Source("http://exo", None, connected=False), contact=Contact(silent_since=2.0))
    assert observer.kinds(70, state) == [EventKind.EXO_BACK]
    assert observer.kinds(115, state) == [EventKind.DOWNLOAD_STALLED]


def test_downloads_of_a_node_that_joins_are_no_news() -> None:
    observer = Observer()
    observer.events(0, document(("n1",), downloads={"n1": [pending()]}))
    joined = document(("n1", "n2"), downloads={"n1": [failed_download("disk full")], "n2": [completed()]})
    events = observer.events(1, joined)
    assert [event.kind for event in events] == [EventKind.NODE_JOINED, EventKind.DOWNLOAD_FAILED]
    assert events[1].message.endswith("on node mac-n1 failed: disk full")


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (linked("thunderbolt"), linked("wifi"), EventKind.LINK_DEGRADED),
        (linked("thunderbolt", rdma=True), linked("thunderbolt"), EventKind.LINK_DEGRADED),
        (linked("ethernet"), linked(None), EventKind.LINK_LOST),
        (linked("ethernet", shared=False), linked(None, shared=False), EventKind.LINK_LOST),
    ],
)
def test_a_link_that_is_worse_for_a_while(before: Json, after: Json, kind: EventKind) -> None:
    observer = Observer()
    observer.events(0, before)
    assert observer.kinds(1, after) == []
    assert observer.kinds(12, after) == []
    assert observer.kinds(14, after) == [kind]
    assert observer.kinds(40, after) == []


def test_a_link_that_is_worse_for_a_moment_is_no_event() -> None:
    observer = Observer()
    observer.events(0, linked("thunderbolt"))
    observer.events(1, linked("wifi"))
    observer.events(8, linked("thunderbolt"))
    observer.events(9, linked("wifi"))
    assert observer.kinds(15, linked("wifi")) == []
    assert observer.kinds(22, linked("wifi")) == [EventKind.LINK_DEGRADED]


def test_a_link_of_unknown_kind_for_a_moment_is_still_measured_against_what_it_was() -> None:
    observer = Observer()
    observer.events(0, linked("thunderbolt"))
    assert observer.kinds(1, linked("unknown")) == []
    observer.events(20, linked("wifi"))
    assert observer.kinds(33, linked("wifi")) == [EventKind.LINK_DEGRADED]


def test_a_slower_link_that_no_model_runs_over_is_no_event() -> None:
    observer = Observer()
    observer.events(0, linked("thunderbolt", shared=False))
    observer.events(1, linked("wifi", shared=False))
    assert observer.kinds(30, linked("wifi", shared=False)) == []


def test_the_links_of_a_node_that_dies_are_not_what_is_wrong() -> None:
    observer = Observer()
    observer.events(0, linked("ethernet", shared=False))
    observer.events(1, linked(None, shared=False))
    silent = linked(None, unseen={"n2": 11.0}, shared=False)
    assert observer.kinds(11, silent) == [EventKind.NODE_STALE]
    assert observer.kinds(30, silent) == []
