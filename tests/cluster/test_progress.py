"""What holds of progress, attempts and estimates, whatever exo reports and in whatever order."""

import random
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from exo_graphql.cluster.readiness import Phase
from tests.support.documents import (
    GIB,
    MODEL,
    Json,
    Story,
    completed,
    document,
    failed_download,
    instance,
    ongoing,
    pending,
    runner,
    snapshot_of,
)

LAYERS = 4


def _life(start: int = 0) -> list[Json | None]:
    """What one runner of an instance over several nodes reports until it is ready."""
    loading = [runner("Loading", layersLoaded=n, totalLayers=LAYERS) for n in range(LAYERS)]
    ready = runner("Ready", prefillServerPort=None)
    life = [None, runner("Idle"), runner("Connecting"), runner("Connected"), *loading, runner("Loaded")]
    return [*life, runner("WarmingUp"), ready, runner("Running")][start:]


def _loading(reports: Sequence[Json | None]) -> Json:
    nodes = {f"n{n}": f"r{n}" for n in range(len(reports))}
    reported = {f"r{n}": report for n, report in enumerate(reports) if report is not None}
    weights = {node: [completed()] for node in nodes}
    return document(list(nodes), [instance("i1", nodes, layers=LAYERS * len(nodes))], reported, weights)


# Without a deadline: an example takes 0.5 s on a busy machine.
@settings(deadline=None)
@given(st.integers(1, 3), st.randoms(use_true_random=False))
def test_progress_of_an_attempt_once_reported_neither_falls_nor_goes_away(nodes: int, chance: random.Random) -> None:
    lives = [_life() for _ in range(nodes)]
    at = [0] * nodes
    story, seen = Story(), []
    while any(place + 1 < len(lives[n]) for n, place in enumerate(at)):
        n = chance.choice([n for n, place in enumerate(at) if place + 1 < len(lives[n])])
        at[n] += 1
        seen.append(
            story.see(float(sum(at)), _loading([life[place] for life, place in zip(lives, at, strict=True)])).status(
                MODEL
            )
        )
    reported = [status.progress_percent for status in seen]
    first = next(n for n, percent in enumerate(reported) if percent is not None)
    assert None not in reported[first:]
    measured = [percent for percent in reported if percent is not None]
    assert all(before <= after for before, after in pairwise(measured))
    assert measured[-1] == 100.0
    assert all(status.progress_percent == 100.0 for status in seen if status.ready)


def test_the_number_of_an_attempt_is_shown_until_the_model_is_ready() -> None:
    failed, idle = runner("Failed", errorMessage="no memory"), runner("Idle")
    loading = runner("Loading", layersLoaded=1, totalLayers=8)
    ready = runner("Ready", prefillServerPort=None)
    story = Story()
    reports = (idle, loading, failed, failed, idle, loading, failed, loading, ready)
    statuses = [
        story.see(float(t), document(["n1"], [instance("i1", {"n1": "r1"})], {"r1": report})).status(MODEL)
        for t, report in enumerate(reports)
    ]
    assert [(status.attempt, status.phase) for status in statuses] == [
        (1, Phase.WAITING),
        (1, Phase.LOADING),
        (1, Phase.FAILED),
        (1, Phase.FAILED),
        (2, Phase.WAITING),
        (2, Phase.LOADING),
        (2, Phase.FAILED),
        (3, Phase.LOADING),
        (None, Phase.READY),
    ]
    assert [statuses[n].message for n in (1, 2, 4, 5, 6, 7, 8)] == [
        "Loading layers: 1 of 8.",
        "no memory",
        "Attempt 2: Waiting for a runner to start.",
        "Attempt 2: Loading layers: 1 of 8.",
        "Attempt 2 failed: no memory",
        "Attempt 3: Loading layers: 1 of 8.",
        "Ready to serve.",
    ]


def test_the_cause_is_that_of_the_attempt_that_said_most() -> None:
    story, failure = Story(), None
    for t, error in enumerate(("Terminated (exitcode=1)\nRunner error: no memory", "Terminated (signal=9 (Killed))")):
        failed = document(["n1"], [instance("i1", {"n1": "r1"})], {"r1": runner("Failed", errorMessage=error)})
        failure = story.see(2.0 * t, failed).status(MODEL).failure
        assert failure is not None
        assert failure.cause == "Runner error: no memory"
        story.see(2.0 * t + 1, document(["n1"], [instance("i1", {"n1": "r1"})], {"r1": runner("Idle")}))
    assert failure is not None
    assert failure.message == "Terminated (signal=9 (Killed))"


SIZES = st.integers(-2 * GIB, 8 * GIB)
FIGURES = st.floats(-1e9, 1e9)


@st.composite
def entries(draw: st.DrawFn) -> Json:
    """A download entry with figures that exo might compute, right or wrong."""
    reported = st.builds(
        lambda done, total, speed, eta: ongoing(MODEL, done, total, speed=speed, eta_ms=eta),
        SIZES,
        SIZES,
        FIGURES,
        FIGURES,
    )
    kinds = st.one_of(reported, st.builds(lambda d, t: pending(MODEL, d, t), SIZES, SIZES), st.builds(completed))
    return draw(st.one_of(kinds, st.builds(failed_download)))


# Without a deadline, as above.
@settings(deadline=None)
@given(st.lists(st.lists(entries(), max_size=3), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_downloads_stay_within_their_bounds_and_the_order_of_entries_does_not_matter(
    by_node: list[list[Json]], chance: random.Random
) -> None:
    nodes = {f"n{n}": f"r{n}" for n in range(len(by_node))}

    def status(reported: list[list[Json]]) -> tuple[object, ...]:
        state = document(list(nodes), [instance("i1", nodes)], downloads=dict(zip(nodes, reported, strict=True)))
        snapshot = snapshot_of(state)
        found = snapshot.status(MODEL)
        for download in snapshot.all_downloads:
            assert download.downloaded_bytes is None or download.downloaded_bytes >= 0
            assert not download.total_bytes or (download.downloaded_bytes or 0) <= download.total_bytes
            assert download.eta_seconds is None or download.eta_seconds >= 0
            assert download.speed_mb_s is None or download.speed_mb_s >= 0
        assert found.progress_percent is None or 0 <= found.progress_percent <= 100
        assert found.eta_seconds is None or found.eta_seconds >= 0
        return found.phase, found.progress_percent, found.eta_seconds, found.message

    assert status(by_node) == status([chance.sample(reported, len(reported)) for reported in by_node])


REPORTS = st.sampled_from([*_life(1), runner("Failed", errorMessage="no"), runner("ShuttingDown"), runner("New")])


# Without a deadline, as above.
@settings(deadline=None)
@given(st.lists(REPORTS, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_a_model_is_ready_when_all_its_instances_are_whatever_their_order(
    reports: list[Json], chance: random.Random
) -> None:
    copies = [(instance(f"i{n}", {"n1": f"r{n}"}), report) for n, report in enumerate(reports)]

    def status(reported: list[tuple[Json, Json]]) -> tuple[object, ...]:
        runners = {f"r{next(iter(one.values()))['instanceId'][1:]}": report for one, report in reported}
        snapshot = snapshot_of(document(["n1"], [one for one, _ in reported], runners))
        found = snapshot.status(MODEL)
        ready = [snapshot.instance_status(id_).ready for id_ in found.instance_ids]
        assert (found.ready, found.ready_instances) == (all(ready), sum(ready))
        assert found.phase in {Phase.READY, Phase.RUNNING} or not any(ready)
        assert not (found.final and found.ready)
        return found.phase, found.ready, found.progress_percent, found.message, found.final

    assert status(copies) == status(chance.sample(copies, len(copies)))
