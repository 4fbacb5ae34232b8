"""What a plan says before anything is done."""

from datetime import UTC, datetime

from exo_graphql.deployments.proposal import propose
from exo_graphql.deployments.schedule import Window
from tests.deployments.views import deployment, snapshot, view

DAY = Window("0 6 * * *", 17 * 60, "UTC")
NIGHT = Window("0 23 * * *", 7 * 60, "UTC")


def test_at_noon_the_plan_of_the_night_unloads_what_the_day_has_loaded() -> None:
    day = deployment("day", "large", owned=("i",), schedule=(DAY,))
    night = deployment("night", "other", schedule=(NIGHT,))
    found = propose(view(snapshot(["n1"], [("i", "large", ("n1",))]), day, night), "uid-night")
    assert found.fits
    assert [instance.id for instance in found.unload] == ["i"]
    assert not found.load_first
    assert found.steps == ("wait until 2026-06-22 23:00 UTC", "unload instance i of large", "load other")


def test_the_plan_of_the_night_unloads_nothing_that_it_fits_beside() -> None:
    day = deployment("day", "large", owned=("i",), schedule=(DAY,))
    night = deployment("night", "other", schedule=(NIGHT,))
    found = propose(view(snapshot(["n1", "n2"], [("i", "large", ("n1",))]), day, night), "uid-night")
    assert (found.fits, found.unload, found.load_first, found.node_ids) == (True, (), True, ("n2",))


def test_the_plan_of_the_night_does_not_fit_beside_what_is_always_wanted() -> None:
    always = deployment("always", "large", owned=("i",))
    night = deployment("night", "other", schedule=(NIGHT,))
    found = propose(view(snapshot(["n1"], [("i", "large", ("n1",))]), always, night), "uid-night")
    assert not found.fits
    assert found.reason is not None
    assert "large (deployment always)" in found.reason


def test_a_window_that_is_open_is_planned_for_now() -> None:
    day = deployment("day", "large", schedule=(DAY,))
    found = propose(view(snapshot(["n1"]), day), "uid-day")
    assert found.steps == ("load large",)


def test_a_model_that_must_be_ready_is_begun_earlier() -> None:
    night = deployment("night", "other", schedule=(Window("0 23 * * *", 60, "UTC", ready_by=True),))
    (wait, _) = propose(view(snapshot(["n1"]), night), "uid-night").steps
    begun = datetime.strptime(wait, "wait until %Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)
    assert datetime(2026, 6, 22, 21, tzinfo=UTC) <= begun < datetime(2026, 6, 22, 23, tzinfo=UTC)
