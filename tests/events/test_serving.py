"""What a first snapshot can say about what was ready before: which cluster it is, and whether all of it is there."""

from datetime import UTC, datetime

import pytest

from exo_graphql.cluster.identity import is_another_cluster, may_be_incomplete
from exo_graphql.events.serving import Copy, Serving, decode, encode, lost_meanwhile
from exo_graphql.storage import Entry
from tests.support.documents import MODEL, Json, document, snapshot_of

AT = datetime(2026, 6, 22, tzinfo=UTC)
SERVED = Serving({"i1": Copy(MODEL, {"n1": "mac-n1"})}, {"n1": "mac-n1", "n2": "mac-n2"}, 100, AT, 7)


def named(nodes: dict[str, str | None], index: int = 500) -> Json:
    state = document(tuple(nodes), index=index)
    for id_, name in nodes.items():
        if name is None:
            del state["nodeIdentities"][id_]
        else:
            state["nodeIdentities"][id_]["friendlyName"] = name
    return state


@pytest.mark.parametrize(
    ("state", "incomplete", "another"),
    [
        (named({"n1": "mac-n1", "n2": "mac-n2"}), False, False),
        # The node that answers has just joined, and has seen fewer events than this server before.
        (named({"n1": "mac-n1", "n2": "mac-n2"}, index=50), True, False),
        # exo lost its master: a member is missing.
        (named({"n1": "mac-n1"}, index=50), False, False),
        # exo was restarted: ids are new, names are not; at first they are not reported.
        (named({"x1": None, "x2": None}, index=5), True, True),
        (named({"x1": "mac-n1", "x2": None}, index=5), False, False),
        (named({"x1": "mac-n1", "x2": "mac-n2"}, index=5), False, False),
        (named({"y1": "other-1", "y2": "other-2"}), False, True),
    ],
)
def test_whether_a_loss_can_be_seen(state: Json, incomplete: bool, another: bool) -> None:
    seen = snapshot_of(state).state
    verdict = may_be_incomplete(SERVED.members, SERVED.index, seen), is_another_cluster(SERVED.members, seen)
    assert verdict == (incomplete, another)


def test_what_an_operation_of_this_server_has_unloaded_is_not_lost() -> None:
    snapshot = snapshot_of(named({"n1": "mac-n1", "n2": "mac-n2"}))
    (unloaded,) = lost_meanwhile(SERVED, snapshot, (), {MODEL})
    assert (unloaded.kind.value, unloaded.message) == ("MODEL_UNLOADED", f"Model {MODEL} was unloaded by this server.")
    (lost,) = lost_meanwhile(SERVED, snapshot, (), ())
    assert lost.kind.value == "MODEL_LOST"


def test_what_another_version_has_noted_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert decode([encode(SERVED)]) == SERVED
    assert not caplog.records
    assert decode([Entry(1, "serving", active=True, record=b"{}")]) is None
    assert [record.message for record in caplog.records] == [
        "What was ready before cannot be read: losses since then are not recorded."
    ]
