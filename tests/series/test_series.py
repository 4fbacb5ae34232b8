"""What is recorded, and what is not, by two clocks of which one can be set."""

from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exo_graphql.cluster.moment import Moment
from exo_graphql.series import Series
from exo_graphql.series.track import MINUTES, TEN_MINUTES
from exo_graphql.series.tracks import MAX_ABSENT
from tests.series.reported import Machine, machine, moment, node, snapshot, times

N = None


def test_entries_are_means_and_null_where_nothing_was_reported() -> None:
    it = machine()
    it.sample(node("a", watts=10.0), times=3)
    it.sample(node("a", watts=N))
    it.sample(node("a", watts=40.0), times=2)
    assert it.watts("a") == [*[N] * 6, 10.0, 10.0, 10.0, N, 40.0, 40.0]
    assert it.watts("a", points=4) == [N, 10.0, 25.0, 40.0]
    assert it.watts("a", points=24)[-6:] == [N, N, 40.0, 40.0, 40.0, 40.0]
    assert it.series.of_node("a", 1, 12).ram_used_gb[-4:] == [32.0] * 4


@pytest.mark.parametrize(
    ("what", "stale"),
    [
        ("exo does not answer", {"connected": False}),
        ("the node is stale", {"seen": 10.0}),
        ("the node has left", {"left": True}),
    ],
)
def test_the_last_value_is_never_repeated(what: str, stale: dict[str, float]) -> None:
    it = machine()
    it.sample(node("a", watts=10.0))
    others = [] if "left" in stale else [node("a", watts=10.0, seen=stale.get("seen", 0.0))]
    it.sample(node("b", watts=1.0), *others, connected="connected" not in stale, times=2)
    assert it.watts("a")[-3:] == [10.0, N, N], what


def test_a_snapshot_from_before_the_machine_slept_tells_nothing() -> None:
    it = machine()
    it.sample(node("a", watts=10.0))
    before = snapshot(it.now, node("a", watts=10.0))
    it.seconds += 3 * 3600
    it.series.sample(before, it.now)
    assert it.watts("a", minutes=240, points=240).count(10.0) == 1
    it.sample(node("a", watts=20.0))
    assert it.watts("a")[-2:] == [N, 20.0]
    hours = it.watts("a", minutes=240, points=8)
    assert hours[-7] == 10.0
    assert hours[-6:-1] == [N] * 5
    assert hours[-1] == 20.0


def test_a_node_that_exo_gives_a_new_id_continues_under_its_name() -> None:
    it = machine()
    it.sample(node("a", "studio", 10.0), node("b", "mini", 1.0))
    it.sample(node("b", "mini", 2.0))
    it.sample(node("c", "studio", 30.0), node("b", "mini", 3.0))
    assert it.watts("c")[-3:] == [10.0, N, 30.0]
    assert it.watts("b")[-3:] == [1.0, 2.0, 3.0]


def test_a_name_that_is_reported_late_still_finds_what_was_before() -> None:
    it = machine()
    it.sample(node("a", "studio", 10.0))
    it.sample(node("c", None, 20.0))
    it.sample(node("c", "studio", 30.0))
    assert it.watts("c")[-3:] == [10.0, N, 30.0]


def test_two_nodes_of_one_name_are_two() -> None:
    it = machine()
    it.sample(node("a", "Mac mini", 10.0), node("b", "Mac mini", 20.0))
    it.sample(node("a", "Mac mini", 11.0), node("b", "Mac mini", 21.0))
    assert (it.watts("a")[-2:], it.watts("b")[-2:]) == ([10.0, 11.0], [20.0, 21.0])
    # After a restart of both nothing says which is which: neither gets what may be the other's.
    it.sample(node("c", "Mac mini", 12.0), node("d", "Mac mini", 22.0))
    assert (it.watts("c")[-2:], it.watts("d")[-2:]) == ([N, 12.0], [N, 22.0])


def test_a_stale_node_keeps_its_own_track_while_another_one_of_its_name_joins() -> None:
    it = machine()
    it.sample(node("a", "Mac mini", 10.0))
    it.sample(node("a", "Mac mini", 10.0, seen=60.0), node("b", "Mac mini", 20.0))
    assert (it.watts("a")[-2:], it.watts("b")[-2:]) == ([10.0, N], [N, 20.0])


def test_of_the_nodes_that_have_left_only_some_are_kept() -> None:
    it = machine()
    for number in range(MAX_ABSENT + 20):
        it.sample(node(f"id {number}", f"name {number}", float(number)), node("here", "here", 1.0))
    assert len(it.series.tracks) == MAX_ABSENT + 2
    assert it.watts("here") == [1.0] * 12
    assert it.watts("id 0") == [N] * 12


@pytest.mark.parametrize("set_forward", [-3600.0, 3600.0, -86_400.0 * 400])
def test_a_wall_clock_that_is_set_moves_the_times_and_nothing_else(set_forward: float) -> None:
    it = machine()
    it.sample(node("a", watts=10.0), times=6)
    it.set_forward = set_forward
    it.sample(node("a", watts=20.0), times=6)
    history = it.series.of_node("a", 1, 12)
    assert history.power_watts == [10.0] * 6 + [20.0] * 6
    expected = it.now.at.replace(microsecond=0)
    assert history.window.at[-1] == expected
    assert {(b - a).total_seconds() for a, b in pairwise(history.window.at)} == {5.0}


def test_the_cluster_is_the_sum_the_mean_and_the_highest_of_those_that_report() -> None:
    it = machine()
    nodes = [node("a", watts=10.0), node("b", watts=5.5), node("c", watts=N), node("d", watts=100.0, seen=30.0)]
    it.sample(*nodes)
    history = it.series.of_cluster(1, 12)
    assert history.power_watts[-1] == 15.5
    assert history.ram_used_gb[-1] == 96.0
    assert history.active_tasks[-1] == 0.0
    assert history.gpu_usage_percent[-1] is None
    it.sample()
    assert it.series.of_cluster(1, 12).ram_used_gb[-2:] == [96.0, N]


def test_the_cluster_may_be_larger_than_two_bytes_hold() -> None:
    it = machine()
    it.sample(*(node(str(number), watts=3000.0) for number in range(64)))
    assert it.series.of_cluster(1, 12).power_watts[-1] == 192_000.0


def test_a_day_is_kept_by_the_minute_and_thirty_days_by_ten_minutes() -> None:
    it = machine()
    it.sample(node("a", watts=10.0), times=12 * 90)
    assert it.watts("a", 60, 60)[1:] == [10.0] * 59
    assert it.watts("a", 1440, 1440)[-90:] == [10.0] * 90
    assert it.watts("a", 43_200, 1440)[-3:] == [10.0] * 3
    assert it.watts("a", 43_200, 1440)[:-4] == [N] * 1436


def test_entries_begin_at_multiples_of_their_length_so_that_a_chart_stands_still() -> None:
    it = machine()
    it.sample(node("a", watts=10.0), times=7)
    first = times(it.series.of_node("a", 2, 4))
    it.sample(node("a", watts=10.0))
    assert times(it.series.of_node("a", 2, 4)) == first == ["11:59:00", "11:59:30", "12:00:00", "12:00:30"]


def test_an_answer_ends_at_the_sample_that_it_began_with() -> None:
    it = machine()
    it.sample(node("a", watts=10.0), times=2)
    began = it.series.newest
    history = it.series.of_node("a", 1, 12, began)
    it.sample(node("a", watts=20.0))
    assert history.power_watts[-2:] == [10.0, 10.0]
    assert it.series.of_node("a", 1, 12, began).power_watts[-2:] == [10.0, 10.0]


def test_a_sample_is_taken_once_for_each_interval() -> None:
    it = machine()
    calls: list[int] = []
    stop = it.series.listen(lambda: calls.append(it.series.newest))
    it.sample(node("a", watts=10.0))
    it.series.sample(snapshot(it.now, node("a", watts=99.0)), it.now)
    assert it.watts("a")[-1] == 10.0
    stop()
    it.sample(node("a", watts=10.0))
    assert calls == [it.series.newest - 1]
    assert it.series.seconds_to_next(moment(12.5)) == 2.5
    assert it.series.seconds_to_next(moment(16.0)) == 0.001


# Restoring


def _restarted(it: Machine, *, after: float = 0.0, set_forward: float = 0.0) -> Machine:
    """Another process with what this one would have stored."""
    seconds = it.seconds + after
    now = Moment(moment(seconds, it.set_forward + set_forward).at, 7.0)
    other = Series(now)
    for resolution, step in ((MINUTES, 60), (TEN_MINUTES, 600)):
        newest = it.series.newest * 5 // step
        for interval in range(newest, newest - 200, -1):
            means = it.series.means(resolution, interval)
            if means is not None:
                other.restore(resolution, it.series.stored_number(resolution, interval), *means)
    following = Machine(other)
    following.seconds, following.set_forward = 7.0, (now.at - moment(7.0).at).total_seconds()
    return following


def test_after_a_restart_the_last_hour_is_there_by_the_minute_and_the_gap_is_a_gap() -> None:
    it = Machine(Series(moment(-5)), seconds=-5)
    it.sample(node("a", "studio", 10.0), times=12 * 5)
    it.sample(node("a", "studio", 70.0), times=12 * 5)
    after = _restarted(it, after=125)
    after.sample(node("b", "studio", 30.0), times=11)
    # By half minutes: five minutes of 10 W, five of 70 W, two of nothing, one of 30 W.
    assert after.watts("b", 15, 30)[-26:] == [*[10.0] * 10, *[70.0] * 10, *[N] * 4, *[30.0] * 2]
    assert after.watts("b", 1440, 1440)[-13:] == [*[10.0] * 5, *[70.0] * 5, N, N, 30.0]
    assert after.series.of_cluster(15, 15).power_watts[-13:] == [*[10.0] * 5, *[70.0] * 5, N, N, 30.0]


def test_a_minute_in_which_the_server_was_restarted_is_the_mean_of_both_parts() -> None:
    it = machine()
    it.sample(node("a", "studio", 10.0), times=6)  # 12:00:05 to 12:00:30
    after = _restarted(it)
    after.sample(node("a", "studio", 70.0), times=5)  # to 12:00:55
    (mean,) = after.watts("a", 1, 1)
    assert mean is not None
    assert 10.0 < mean < 70.0


def test_what_was_stored_by_a_clock_that_was_an_hour_ahead_is_left_out() -> None:
    it = machine()
    it.set_forward = 3600.0
    it.sample(node("a", "studio", 10.0), times=60)
    after = _restarted(it, set_forward=-3600.0)
    after.sample(node("a", "studio", 20.0))
    assert after.watts("a", 120, 120).count(10.0) == 0
    assert after.watts("a")[-1] == 20.0


def test_what_is_restored_late_displaces_no_sample() -> None:
    it = machine()
    it.sample(node("a", "studio", 10.0), times=12)
    stored = it.series.means(MINUTES, it.series.newest // 12)
    assert stored is not None
    it.sample(node("a", "studio", 20.0), times=12)
    before = (it.watts("a"), it.watts("a", 1440, 1440))
    it.series.restore(MINUTES, it.series.newest // 12, *stored)
    assert (it.watts("a"), it.watts("a", 1440, 1440)) == before


# Anything that may happen


_STEP = st.tuples(
    st.sampled_from([5.0, 5.0, 5.0, 4.0, 7.5, 30.0, 400.0, 3700.0]),
    st.sampled_from([0.0, 0.0, 0.0, -3600.0, 1800.0]),
    st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.floats(0, 500)), st.booleans()), max_size=3),
    st.booleans(),
)


@given(st.lists(_STEP, min_size=1, max_size=60), st.sampled_from([1, 7, 12, 60, 100, 720]))
def test_a_history_is_the_mean_of_what_was_sampled(steps: list[Any], points: int) -> None:
    """Against a list of samples: whatever pauses, sets of the wall clock, stale nodes and lost contact there were."""
    it = machine()
    taken: dict[tuple[str, int], float | None] = {}
    for pause, set_forward, nodes, connected in steps:
        it.seconds += pause
        it.set_forward += set_forward
        before = it.series.newest
        reports = {name: (watts, stale) for name, watts, stale in nodes}
        present = [node(name, name, watts, seen=60.0 if stale else 0.0) for name, (watts, stale) in reports.items()]
        it.series.sample(snapshot(it.now, *present, connected=connected), it.now)
        if it.series.newest > before and connected:
            for name, (watts, stale) in reports.items():
                taken[name, it.series.newest] = None if stale or watts is None else round(watts, 1)
    width = Fraction(3600, points)
    end = ceil((it.series.newest + 1) * 5 / width) * width
    for name in "abc":
        expected: list[float | None] = []
        for number in range(points, 0, -1):
            begin = end - number * width
            found = [taken.get((name, each)) for each in range(floor(begin / 5), ceil((begin + width) / 5))]
            known = [each for each in found if each is not None]
            expected.append(sum(known) / len(known) if known else None)
        watts = it.series.of_node(name, 60, points).power_watts
        assert [each is None for each in watts] == [each is None for each in expected]
        pairs = [(a, b) for a, b in zip(watts, expected, strict=True) if a is not None and b is not None]
        assert all(abs(a - b) <= 0.1 + 1e-6 for a, b in pairs)
