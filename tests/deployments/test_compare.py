"""The rules of deployments, one table or test each: what a comparison says and what it would do."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exo_graphql.cluster.state import DownloadKind, RunnerStatus
from exo_graphql.deployments.acts import Cancel, Change, Fetch
from exo_graphql.deployments.assess import Assessment
from exo_graphql.deployments.compare import Comparison, compare
from exo_graphql.deployments.deployment import AttemptFailure, Deployment, DeploymentState, Pause
from exo_graphql.deployments.schedule import Window
from exo_graphql.deployments.watch import Watch
from exo_graphql.operations import ShardingPreference
from tests.deployments.views import NOW, SIZES, deployment, later, operation, snapshot, view

OPEN, CLOSED = Window("0 12 * * *", 60, "UTC"), Window("0 13 * * *", 60, "UTC")
ENDS_AT_ONE = Window("0 11 * * *", 120, "UTC")
SOON = Window("1 12 * * *", 60, "UTC", ready_by=True)
"""Opens in a minute, and so is within its lead: before a first load a model is taken to need 90 s or more."""


def assessment(outcome: Comparison, name: str) -> Assessment:
    return next(each for each in outcome.assessments if each.deployment.name == name)


def change(outcome: Comparison) -> Change:
    assert isinstance(outcome.act, Change), outcome.act
    return outcome.act


def unloads(outcome: Comparison) -> list[str]:
    return [instance.id for instance in change(outcome).unload]


# Loading


def test_what_is_wanted_and_missing_is_loaded() -> None:
    outcome = compare(view(snapshot(), deployment("a", "small")))
    assert change(outcome).load is not None
    assert not change(outcome).unload
    assert assessment(outcome, "a").state is DeploymentState.PROGRESSING


def test_what_is_loaded_is_ready_no_matter_who_placed_it() -> None:
    for owned in ((), ("i",)):
        outcome = compare(view(snapshot(loaded=[("i", "small", ("n1",))]), deployment("a", "small", owned=owned)))
        assert outcome.act is None
        assert assessment(outcome, "a").state is DeploymentState.READY
        assert assessment(outcome, "a").adoptable == (() if owned else ("i",))


def test_another_copy_goes_to_other_nodes_and_the_first_continues_to_serve() -> None:
    shown = snapshot(loaded=[("i", "small", ("n1",))])
    outcome = compare(view(shown, deployment("a", "small", replicas=2, owned=["i"])))
    assert change(outcome).node_ids == ("n2",)
    assert change(outcome).another
    assert assessment(outcome, "a").ready_replicas == 1


def test_what_fits_beside_what_is_loaded_displaces_nothing() -> None:
    shown = snapshot(loaded=[("i", "large", ("n1",))])
    outcome = compare(view(shown, deployment("low", "large", owned=["i"]), deployment("high", "other", priority=1)))
    assert change(outcome).node_ids == ("n2",)
    assert not change(outcome).unload


def test_a_higher_priority_displaces_no_more_than_it_needs() -> None:
    shown = snapshot(loaded=[("i", "large", ("n1",)), ("s", "small", ("n2",))])
    low, least = deployment("low", "large", owned=["i"]), deployment("least", "small", owned=["s"], priority=-1)
    outcome = compare(view(shown, low, least, deployment("high", "wide", priority=1)))
    assert unloads(outcome) == ["i"]


@pytest.mark.parametrize(
    ("name", "priority", "schedule", "state"),
    [
        ("equal", 0, (), DeploymentState.UNSATISFIABLE),
        ("lower", -1, (), DeploymentState.UNSATISFIABLE),
        ("higher", 1, (), DeploymentState.PROGRESSING),
        # Within its lead it outranks an equal whose window ends by the opening, and no other.
        ("in its lead", 0, (SOON,), DeploymentState.UNSATISFIABLE),
    ],
)
def test_among_equals_what_is_loaded_stays(
    name: str, priority: int, schedule: tuple[Window, ...], state: DeploymentState
) -> None:
    shown = snapshot(("n1",), loaded=[("i", "large", ("n1",))])
    outcome = compare(
        view(
            shown, deployment("a", "large", owned=["i"]), deployment("b", "other", priority=priority, schedule=schedule)
        )
    )
    assert assessment(outcome, "b").state is state
    if state is DeploymentState.UNSATISFIABLE:
        assert outcome.act is None
        assert "10.4 GiB" in assessment(outcome, "b").reason
        assert "deployment a" in assessment(outcome, "b").reason


def test_within_its_lead_it_outranks_an_equal_whose_window_ends_by_the_opening() -> None:
    shown = snapshot(("n1",), loaded=[("i", "large", ("n1",))])
    now = later(3_570)  # 12:59:30, half a minute before the change
    night = deployment("night", "large", owned=["i"], schedule=(ENDS_AT_ONE,))
    day = deployment("day", "other", schedule=(replace(CLOSED, ready_by=True),))
    assert unloads(compare(view(shown, night, day, now=now))) == ["i"]
    longer = deployment("night", "large", owned=["i"], schedule=(replace(ENDS_AT_ONE, duration_minutes=121),))
    assert compare(view(shown, longer, day, now=now)).act is None


def test_the_name_decides_where_neither_is_loaded() -> None:
    shown = snapshot(("n1",))
    outcome = compare(view(shown, deployment("b", "other"), deployment("a", "large")))
    assert change(outcome).by.name == "a"
    assert assessment(outcome, "b").state is DeploymentState.WAITING


def test_what_belongs_to_no_deployment_is_never_proposed() -> None:
    shown = snapshot(("n1",), loaded=[("theirs", "large", ("n1",))])
    outcome = compare(view(shown, deployment("a", "other", priority=100)))
    assert outcome.act is None
    assert assessment(outcome, "a").state is DeploymentState.UNSATISFIABLE
    assert "large (not of a deployment)" in assessment(outcome, "a").reason


def test_what_a_pause_protects_is_not_displaced() -> None:
    shown = snapshot(("n1",), loaded=[("i", "large", ("n1",))])
    paused = deployment("a", "large", owned=["i"], pause=Pause("Paused by a person."))
    outcome = compare(view(shown, paused, deployment("b", "other", priority=100)))
    assert outcome.act is None
    assert assessment(outcome, "a").state is DeploymentState.PAUSED
    assert assessment(outcome, "a").reason == "Paused by a person."


def test_an_instance_of_an_older_spec_is_replaced_and_serves_until_then() -> None:
    shown = snapshot(loaded=[("i", "large", ("n1",))])
    outcome = compare(view(shown, deployment("a", "large", owned=["i"], nodes=("n2",))))
    assert change(outcome).node_ids == ("n2",)
    assert not change(outcome).unload
    both = snapshot(loaded=[("i", "large", ("n1",)), ("j", "large", ("n2",))])
    assert unloads(compare(view(both, deployment("a", "large", owned=["i", "j"], nodes=("n2",))))) == ["i"]
    one_node = deployment("a", "large", owned=["i"], nodes=("n1",), min_nodes=1)
    assert compare(view(shown, one_node)).act is None


def test_somebody_elses_instance_of_another_kind_is_not_replaced() -> None:
    shown = snapshot(loaded=[("theirs", "large", ("n1",))])
    outcome = compare(view(shown, deployment("a", "large", nodes=("n2",))))
    assert outcome.act is None
    assert assessment(outcome, "a").state is DeploymentState.UNSATISFIABLE
    assert "Somebody else has loaded large" in assessment(outcome, "a").reason


def test_named_nodes_that_are_not_joined_are_the_reason_and_not_their_backends() -> None:
    """A node that has just returned: its own connections are not known yet."""
    shown = snapshot(("n1", "n2"), joined=False, backend="MlxCpu")
    outcome = compare(view(shown, deployment("a", "wide", nodes=("n1", "n2"))))
    assert assessment(outcome, "a").reason.startswith("The chosen nodes are not connected to each other")


# Unloading


def test_what_closes_is_unloaded_and_what_opens_in_its_place_is_one_swap() -> None:
    shown = snapshot(("n1",), loaded=[("i", "large", ("n1",))])
    closed = deployment("day", "large", owned=["i"], schedule=(CLOSED,))
    assert unloads(compare(view(shown, closed))) == ["i"]
    outcome = compare(view(shown, closed, deployment("night", "other", schedule=(OPEN,))))
    assert unloads(outcome) == ["i"]
    assert change(outcome).load is not None


def test_what_closed_serves_until_what_is_wanted_is_loaded() -> None:
    shown = snapshot(("n1",), loaded=[("i", "large", ("n1",))])
    closed = deployment("day", "large", owned=["i"], schedule=(CLOSED,))
    failed = deployment("night", "other", attempts=1, retry_at=NOW.at + timedelta(seconds=5))
    outcome = compare(view(shown, closed, failed))
    assert outcome.act is None
    assert assessment(outcome, "night").state is DeploymentState.RETRYING
    assert assessment(outcome, "day").state is DeploymentState.OFF
    assert "until night is loaded" in assessment(outcome, "day").reason
    # A node was lost meanwhile: it cannot be loaded at all. Less than before is not what follows.
    lost = deployment("night", "wide", placements=(("n1", "n2"),))
    assert compare(view(shown, closed, lost)).act is None
    assert compare(view(shown, closed, replace(lost, spec=replace(lost.spec, nodes=("n1", "n2"))))).act is None
    paused = replace(failed, pause=Pause("Paused by a person."))
    assert unloads(compare(view(shown, closed, paused))) == ["i"]
    assert unloads(compare(view(shown, closed))) == ["i"]


def test_what_is_deleted_or_idle_is_unloaded_without_waiting_for_another() -> None:
    shown = snapshot(("n1",), loaded=[("i", "large", ("n1",))])
    for gone in ({"deleted": True}, {"idle": True}):
        leaving = deployment("a", "large", owned=["i"], **gone)
        assert unloads(compare(view(shown, leaving, deployment("b", "huge")))) == ["i"]


def test_fewer_copies_than_before_unloads_the_rest() -> None:
    shown = snapshot(loaded=[("i", "small", ("n1",)), ("j", "small", ("n2",))])
    outcome = compare(view(shown, deployment("a", "small", owned=["i", "j"])))
    assert len(unloads(outcome)) == 1


# Patience


def test_nothing_is_done_on_a_stale_snapshot() -> None:
    outcome = compare(view(snapshot(stale=True), deployment("a", "small"), deployment("b", "large")))
    assert outcome.act is None
    assert {each.state for each in outcome.assessments} == {DeploymentState.WAITING}


@pytest.mark.parametrize(("seconds", "deleted"), [(0, False), (59, False), (60, True)])
def test_an_own_instance_out_of_reach_is_deleted_after_a_minute(seconds: float, deleted: bool) -> None:
    shown = snapshot(loaded=[("i", "large", ("n1",))], unseen={"n1": 20.0})
    watch = Watch(snapshot=shown, unreachable_since={"i": NOW.elapsed - seconds})
    outcome = compare(view(shown, deployment("a", "large", owned=["i"]), watch=watch))
    assert (outcome.act is not None) is deleted
    if deleted:
        assert unloads(outcome) == ["i"]
        assert change(outcome).load is None
    else:
        assert assessment(outcome, "a").state is DeploymentState.WAITING


def test_somebody_elses_instance_out_of_reach_is_left_alone() -> None:
    shown = snapshot(loaded=[("i", "large", ("n1",))], unseen={"n1": 20.0})
    watch = Watch(snapshot=shown, unreachable_since={"i": 0.0})
    outcome = compare(view(shown, deployment("a", "large"), watch=watch))
    # Another copy beside it; not on the node that is out of reach.
    assert change(outcome).node_ids == ("n2",)
    assert not change(outcome).unload


def test_an_instance_that_exo_lists_is_not_missing() -> None:
    for status in (RunnerStatus.FAILED, RunnerStatus.LOADING, RunnerStatus.SHUTTING_DOWN):
        shown = snapshot(loaded=[("i", "large", ("n1",))], statuses={"i": status})
        outcome = compare(view(shown, deployment("a", "large", owned=["i"])))
        assert outcome.act is None
        assert assessment(outcome, "a").state is DeploymentState.WAITING


def test_after_a_loss_the_membership_must_have_settled() -> None:
    shown = snapshot(("n1", "n2"))
    lost = deployment("a", "large", placements=(("n3",),))
    moving = Watch(snapshot=shown, members_changed_at=NOW.elapsed - 19)
    assert assessment(compare(view(shown, lost, watch=moving)), "a").state is DeploymentState.WAITING
    # The nodes of its last placement are back; the membership has settled; it was never loaded.
    for found, watch in (
        (replace(lost, placements=(("n2",),)), moving),
        (lost, replace(moving, members_changed_at=NOW.elapsed - 20)),
        (replace(lost, placements=()), moving),
    ):
        assert isinstance(compare(view(shown, found, watch=watch)).act, Change)


def test_the_same_nodes_are_tried_first_and_then_any() -> None:
    shown = snapshot(("n1", "n2", "n3"))
    lost = deployment("a", "large", placements=(("n3",),))
    assert change(compare(view(shown, lost))).node_ids == ("n3",)
    full = snapshot(("n1", "n2", "n3"), loaded=[("i", "other", ("n3",))])
    assert change(compare(view(full, lost))).node_ids in (("n1",), ("n2",))
    # From the third attempt on exo chooses.
    assert change(compare(view(shown, replace(lost, attempts=2)))).node_ids is None


def test_what_did_not_fit_is_attempted_once_it_has_fitted_for_ten_seconds() -> None:
    for since, state in ((None, "WAITING"), (NOW.elapsed - 9, "WAITING"), (NOW.elapsed - 10, "PROGRESSING")):
        outcome = compare(view(snapshot(), deployment("a", "small"), fits_since={"uid-a": since}))
        assert assessment(outcome, "a").state.value == state
        assert assessment(outcome, "a").fits


def test_one_operation_at_a_time() -> None:
    first = deployment("a", "small")
    at_work = operation(loads=["small"], of=first)
    outcome = compare(view(snapshot(), first, deployment("b", "other"), operations=[at_work]))
    assert outcome.act is None
    assert assessment(outcome, "a").state is DeploymentState.PROGRESSING
    assert assessment(outcome, "b").state is DeploymentState.WAITING


def test_what_a_persons_operation_is_at_work_on_is_not_touched() -> None:
    shown = snapshot(("n1",), loaded=[("i", "large", ("n1",))])
    old, new = deployment("a", "large", owned=["i"]), deployment("b", "other", priority=1)
    for theirs in (operation(unloads=["large"]), operation(loads=["other"])):
        outcome = compare(view(shown, old, new, operations=[theirs]))
        assert outcome.act is None
        assert assessment(outcome, "b").state is DeploymentState.WAITING


def test_an_operation_that_nobody_wants_any_more_is_cancelled_unless_it_has_begun_to_unload() -> None:
    closed = deployment("a", "small", schedule=(CLOSED,))
    load = operation(loads=["small"], of=closed)
    assert isinstance(compare(view(snapshot(), closed, operations=[load])).act, Cancel)
    begun = operation(loads=["small"], unloads=["large"], of=closed, begun=True)
    assert compare(view(snapshot(), closed, operations=[begun])).act is None


# Nodes by name


def test_an_online_node_beats_a_stale_one_of_the_same_name_and_an_absent_one_is_waited_for() -> None:
    outcome = compare(view(snapshot(("n1",)), deployment("a", "small", nodes=("n9",))))
    assert assessment(outcome, "a").state is DeploymentState.UNSATISFIABLE
    assert "n9" in assessment(outcome, "a").reason
    twins = snapshot(("old", "new"), unseen={"old": 30.0})
    for node_id, node in twins.state.nodes.items():
        object.__setattr__(node, "friendly_name", "studio")
        assert node_id in ("old", "new")
    assert change(compare(view(twins, deployment("a", "small", nodes=("Studio",))))).node_ids == ("new",)


# Weights


def test_weights_are_fetched_while_the_window_is_closed_and_where_the_disk_allows_it() -> None:
    lacking = snapshot(("n1",), lacking=[("n1", "large")])
    closed = deployment("a", "large", schedule=(CLOSED,))
    outcome = compare(view(lacking, closed))
    assert outcome.act == Fetch(closed, ("n1",))
    assert compare(view(lacking, closed, fetch_at={"uid-a": later(1)})).act is None
    paused = replace(closed, pause=Pause("Paused by a person."))
    assert compare(view(lacking, paused)).act is None
    assert compare(view(snapshot(("n1",)), closed)).act is None
    never = deployment("a", "huge", schedule=(CLOSED,))
    assert compare(view(snapshot(("n1",), lacking=[("n1", "huge")]), never)).act is None


def test_weights_that_are_missing_are_fetched_before_the_load() -> None:
    wanted = deployment("a", "large")
    lacking = snapshot(("n1",), lacking=[("n1", "large")])
    outcome = compare(view(lacking, wanted))
    assert outcome.act == Fetch(wanted, ("n1",))
    assert assessment(outcome, "a").state is DeploymentState.PROGRESSING
    assert assessment(outcome, "a").reason == "Fetching its weights onto n1: 0.0 of 10.0 GiB."
    assert compare(view(lacking, wanted, fetch_at={"uid-a": later(10)})).act is None
    on_its_way = snapshot(("n1",), lacking=[("n1", "large")], lacking_as=DownloadKind.ONGOING)
    outcome = compare(view(on_its_way, wanted))
    assert outcome.act is None
    assert assessment(outcome, "a").state is DeploymentState.PROGRESSING
    outcome = compare(view(on_its_way, wanted, stalled=frozenset({"uid-a"})))
    assert assessment(outcome, "a").state is DeploymentState.RETRYING
    assert change(compare(view(snapshot(("n1",)), wanted))).load is not None


def test_a_fetch_holds_up_no_other_deployment_and_is_held_up_by_none() -> None:
    first, second = deployment("a", "large", priority=1), deployment("b", "small")
    shown = snapshot(lacking=[("n1", "large"), ("n2", "large")], lacking_as=DownloadKind.ONGOING)
    assert change(compare(view(shown, first, second))).by == second
    lacking = snapshot(lacking=[("n1", "large"), ("n2", "large")])
    loading = operation(loads=["small"], of=second)
    outcome = compare(view(lacking, first, second, operations=[loading]))
    assert isinstance(outcome.act, Fetch)
    assert outcome.act.deployment == first
    outcome = compare(view(shown, first, second, operations=[loading]))
    assert assessment(outcome, "a").reason.startswith("Fetching its weights")


def test_weights_are_not_fetched_a_second_time_because_another_node_is_the_best_by_now() -> None:
    shown = snapshot(lacking=[("n1", "large"), ("n2", "large")])
    before = compare(view(shown, deployment("a", "large"))).act
    assert isinstance(before, Fetch)
    (chosen,) = before.node_ids
    (other,) = {"n1", "n2"} - {chosen}
    download = replace(shown.state.downloads[other]["large"], kind=DownloadKind.ONGOING)
    shown.state.downloads[other]["large"] = download  # type: ignore[index]
    outcome = compare(view(shown, deployment("a", "large")))
    assert outcome.act is None
    assert assessment(outcome, "a").reason == f"Fetching its weights onto {other}: 0.0 of 10.0 GiB."
    named = compare(view(shown, deployment("a", "large", nodes=(chosen,)))).act
    assert isinstance(named, Fetch)


def test_nothing_is_unloaded_for_what_is_still_fetched() -> None:
    shown = snapshot(("n1",), [("i", "large", ("n1",))], lacking=[("n1", "other")], lacking_as=DownloadKind.ONGOING)
    low = deployment("low", "large", owned=["i"])
    assert compare(view(shown, low, deployment("high", "other", priority=1))).act is None


def test_a_failed_download_is_shown_until_another_try_has_begun() -> None:
    wanted = deployment("a", "large")
    failed = snapshot(("n1",), lacking=[("n1", "large")], lacking_as=DownloadKind.FAILED)
    outcome = compare(view(failed, wanted, fetch_at={"uid-a": later(10)}))
    assert assessment(outcome, "a").state is DeploymentState.RETRYING
    assert assessment(outcome, "a").reason == "n1 could not fetch large: No route."
    assert assessment(outcome, "a").retry_at == later(10).at
    allowed = snapshot(("n1",), lacking=[("n1", "large")])
    known = replace(wanted, last_failure=AttemptFailure(NOW.at, "n1 could not fetch large: No route."))
    outcome = compare(view(allowed, known, fetch_at={"uid-a": later(10)}))
    assert assessment(outcome, "a").state is DeploymentState.RETRYING
    assert isinstance(compare(view(allowed, known)).act, Fetch)


def test_weights_are_not_fetched_onto_a_full_disk() -> None:
    shown = snapshot(("n1",), lacking=[("n1", "large")], disk=105)
    outcome = compare(view(shown, deployment("a", "large")))
    assert outcome.act is None
    assert assessment(outcome, "a").state is DeploymentState.UNSATISFIABLE
    assert "disk of n1 is too full" in assessment(outcome, "a").reason


# Properties

_MODELS = st.sampled_from(sorted(SIZES))


@st.composite
def _worlds(draw: st.DrawFn) -> tuple[list[tuple[str, str, tuple[str, ...]]], list[Deployment]]:
    """Two nodes, what is loaded on them, and deployments that own some of it."""
    loaded: list[tuple[str, str, tuple[str, ...]]] = []
    left = {"n1": 16, "n2": 16}
    for number in range(draw(st.integers(0, 4))):
        model, node = draw(_MODELS), draw(st.sampled_from(["n1", "n2"]))
        if SIZES[model] <= left[node]:
            left[node] -= SIZES[model]
            loaded.append((f"i{number}", model, (node,)))
    deployments = []
    for name, model in enumerate(draw(st.lists(_MODELS, unique=True, max_size=4))):
        mine = [id_ for id_, of, _ in loaded if of == model and draw(st.booleans())]
        deployments.append(
            deployment(
                f"d{name}",
                model,
                owned=mine,
                priority=draw(st.integers(-1, 1)),
                replicas=draw(st.sampled_from([1, 1, 2])),
                schedule=draw(st.sampled_from([(), (), (OPEN,), (CLOSED,), (SOON,)])),
                attempts=draw(st.sampled_from([0, 0, 3])),
                retry_at=draw(st.sampled_from([None, None, NOW.at + timedelta(seconds=60)])),
                idle=draw(st.sampled_from([False, False, True])),
                deleted=draw(st.sampled_from([False, False, True])),
                pause=draw(st.sampled_from([None, None, Pause("Paused by a person.")])),
            )
        )
    return loaded, deployments


def _touched(outcome: Comparison) -> Sequence[str]:
    return unloads(outcome) if isinstance(outcome.act, Change) else ()


@settings(max_examples=400, deadline=None)
@given(_worlds())
def test_only_own_instances_of_what_is_not_paused_are_ever_unloaded(
    world: tuple[list[tuple[str, str, tuple[str, ...]]], list[Deployment]],
) -> None:
    loaded, deployments = world
    outcome = compare(view(snapshot(loaded=loaded), *deployments))
    allowed = {id_ for each in deployments if each.pause is None for id_ in each.owned}
    assert set(_touched(outcome)) <= allowed


@settings(max_examples=400, deadline=None)
@given(_worlds())
def test_what_is_wanted_is_unloaded_only_for_something_that_is_loaded_in_its_place(
    world: tuple[list[tuple[str, str, tuple[str, ...]]], list[Deployment]],
) -> None:
    loaded, deployments = world
    outcome = compare(view(snapshot(loaded=loaded), *deployments))
    wanted = {each.deployment.name for each in outcome.assessments if each.wanted}
    for each in deployments:
        leaving = set(_touched(outcome)) & set(each.owned)
        if each.name not in wanted or not leaving or not isinstance(outcome.act, Change):
            continue
        staying = [id_ for id_, model, _ in loaded if model == each.spec.model_id and id_ not in leaving]
        by = outcome.act.load
        assert len(staying) >= each.spec.replicas or (by is not None and by.spec.priority >= each.spec.priority)


@settings(max_examples=300, deadline=None)
@given(_worlds())
def test_acting_over_and_over_comes_to_rest(
    world: tuple[list[tuple[str, str, tuple[str, ...]]], list[Deployment]],
) -> None:
    """Nothing alternates: what each act asks for is taken to happen, and after few acts nothing is left to do."""
    loaded, deployments = world
    deployments = [replace(each, retry_at=None) for each in deployments]
    for number in range(20):
        outcome = compare(view(snapshot(loaded=loaded), *deployments))
        if outcome.act is None:
            return
        assert isinstance(outcome.act, Change), outcome.act
        leaving = set(unloads(outcome))
        loaded = [one for one in loaded if one[0] not in leaving]
        target = outcome.act.load
        if target is None:
            continue
        space = outcome.act.node_ids or _anywhere(loaded, target)
        loaded.append((f"new{number}", target.spec.model_id, tuple(space)))
        deployments = [
            replace(each, owned=(*each.owned, f"new{number}")) if each.uid == target.uid else each
            for each in deployments
        ]
    raise AssertionError("it does not come to rest")


def _anywhere(loaded: list[tuple[str, str, tuple[str, ...]]], target: Deployment) -> tuple[str, ...]:
    """Where exo would put it: any node with space, else both."""
    for node in ("n1", "n2"):
        used = sum(SIZES[model] / len(nodes) for _, model, nodes in loaded if node in nodes)
        if used + SIZES[target.spec.model_id] * 1.04 <= 16:
            return (node,)
    return ("n1", "n2")


@settings(max_examples=200, deadline=None)
@given(_worlds(), st.sampled_from(["huge", "wide"]))
def test_what_is_not_satisfiable_changes_nothing_for_the_others(
    world: tuple[list[tuple[str, str, tuple[str, ...]]], list[Deployment]], model: str
) -> None:
    loaded, deployments = world
    others = [each for each in deployments if each.spec.model_id not in ("huge", "wide")]
    shown = snapshot(loaded=loaded)
    never = deployment("never", "huge", priority=5)
    with_it, without = compare(view(shown, *others, never)), compare(view(shown, *others))
    loads = [o.act.load.name if isinstance(o.act, Change) and o.act.load else None for o in (with_it, without)]
    assert loads[0] == loads[1]
    assert model in SIZES


def test_a_view_is_not_changed() -> None:
    given_view = view(snapshot(), deployment("a", "small"), fits_since=MappingProxyType({}))
    assert compare(given_view) == compare(given_view)


# Nodes that return under another id


def test_what_exo_still_lists_on_the_former_id_of_a_named_node_is_not_missing() -> None:
    """`n1` died and was started again; until exo drops its old id, or for a minute, nothing is placed in its stead."""
    shown = snapshot(("n1", "n2"), [("i", "small", ("n1",))], unseen={"n1": 30.0}, renamed={"n2": "n1"})
    kept = deployment("a", "small", owned=["i"], nodes=("n1",))
    outcome = compare(view(shown, kept))
    assert outcome.act is None
    assert assessment(outcome, "a").state is DeploymentState.WAITING
    lost = Watch(snapshot=shown, unreachable_since={"i": NOW.elapsed - 61})
    assert unloads(compare(view(shown, kept, watch=lost))) == ["i"]


def test_an_instance_on_other_nodes_than_named_is_not_a_copy() -> None:
    shown = snapshot(("n1", "n2"), [("i", "small", ("n2",))])
    assert change(compare(view(shown, deployment("a", "small", owned=["i"], nodes=("n1",))))).load is not None


# What is placed for it at this moment


def test_what_its_operation_has_placed_is_its_own_before_that_has_ended() -> None:
    kept = deployment("a", "small")
    failed = snapshot(loaded=[("i", "small", ("n1",))], statuses={"i": RunnerStatus.FAILED})
    outcome = compare(view(failed, kept, operations=[operation(loads=["small"], of=kept)], placed=[("small", "i")]))
    assert assessment(outcome, "a").instance_ids == ("i",)


# Further copies


def test_a_further_copy_waits_for_no_backoff_and_counts_as_no_attempt() -> None:
    shown = snapshot(("n1", "n2", "n3"), [("i", "small", ("n1",))])
    waiting = deployment("a", "small", owned=["i"], replicas=2, attempts=4, retry_at=NOW.at + timedelta(minutes=4))
    further = change(compare(view(shown, waiting)))
    assert further.another
    assert not further.counts


@pytest.mark.parametrize(
    "waiting",
    [
        {"owned": ["i", "lost"]},
        {"owned": ["i"], "last_failure": AttemptFailure(NOW.at, "It failed.")},
    ],
    ids=["the last copy was lost", "the last load failed"],
)
def test_a_copy_in_place_of_one_that_was_lost_or_failed_waits(waiting: dict[str, object]) -> None:
    shown = snapshot(("n1", "n2", "n3"), [("i", "small", ("n1",))])
    at = NOW.at + timedelta(minutes=4)
    kept = deployment("a", "small", replicas=2, attempts=4, retry_at=at, **waiting)  # type: ignore[arg-type]
    outcome = compare(view(shown, kept))
    assert outcome.act is None
    assert assessment(outcome, "a").state is DeploymentState.RETRYING
    assert change(compare(view(shown, replace(kept, retry_at=None)))).counts


# One search for models of the same shape


def test_the_reason_of_each_that_does_not_fit_names_its_own_model_and_what_uses_its_nodes() -> None:
    shown = snapshot(("n1",), [("i", "large", ("n1",))])
    outcome = compare(
        view(shown, deployment("a", "other"), deployment("b", "wide"), deployment("z", "large", owned=["i"]))
    )
    assert outcome.act is None
    for name, model in (("a", "other"), ("b", "wide")):
        assert assessment(outcome, name).state is DeploymentState.UNSATISFIABLE
        assert assessment(outcome, name).reason.startswith(f"{model} needs ")
        assert assessment(outcome, name).reason.endswith("Memory is used by large (deployment z).")


@pytest.mark.parametrize("sharding", list(ShardingPreference))
def test_an_assessment_does_not_depend_on_others_of_the_same_shape(sharding: ShardingPreference) -> None:
    sizes = {"a": 10, "b": 10, "c": 10, "d": 40}
    shown = snapshot(("n1", "n2"), sizes=sizes)
    kept = [deployment(model, model, sharding=sharding) for model in sizes]
    together = compare(view(shown, *kept))
    for each in kept[1:]:
        alone = assessment(compare(view(shown, each)), each.name)
        assert assessment(together, each.name).fits == alone.fits
        if not alone.fits:
            assert assessment(together, each.name).reason == alone.reason


def test_a_lower_priority_gives_way_only_to_a_higher_one_also_among_many() -> None:
    shown = snapshot(("n1",), [("i", "large", ("n1",))])
    low = deployment("low", "large", owned=["i"], priority=1)
    for priority, unloaded in ((0, None), (1, None), (2, ["i"])):
        outcome = compare(view(shown, low, deployment("high", "other", priority=priority)))
        assert (unloads(outcome) if outcome.act is not None else None) == unloaded


def test_what_closed_does_not_wait_for_what_is_not_in_its_place() -> None:
    """A model that is too large for the cluster, or that fits beside it and fails, keeps nothing loaded."""
    shown = snapshot(("n1", "n2"), loaded=[("i", "large", ("n1",))])
    closed = deployment("day", "large", owned=["i"], schedule=(CLOSED,))
    assert unloads(compare(view(shown, closed, deployment("night", "huge")))) == ["i"]
    failed = deployment("night", "other", attempts=1, retry_at=NOW.at + timedelta(seconds=5))
    assert unloads(compare(view(shown, closed, failed))) == ["i"]
    on_the_same = replace(failed, spec=replace(failed.spec, nodes=("n1",)))
    assert compare(view(shown, closed, on_the_same)).act is None


def test_what_fits_beside_is_loaded_before_anything_is_unloaded() -> None:
    shown = snapshot(("n1", "n2"), loaded=[("i", "large", ("n1",))])
    closed = deployment("z", "large", owned=["i"], schedule=(CLOSED,))
    swaps = deployment("a", "other", nodes=("n1",), priority=1)
    loads = deployment("b", "small", nodes=("n2",))
    outcome = compare(view(shown, closed, swaps, loads))
    assert change(outcome).by == loads
    assert not unloads(outcome)
    # But not where it would take the place of the one that comes first.
    outcome = compare(view(shown, closed, swaps, deployment("b", "small", nodes=("n1",))))
    assert change(outcome).by == swaps
