"""The calendar of very many deployments: what it holds, and that it may be asked for."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from graphql import OperationDefinitionNode, parse

from exo_graphql.deployments.assess import assess_unseen
from exo_graphql.deployments.calendar import MAX_CHANGES, MAX_ENTRIES, calendar
from exo_graphql.deployments.deployment import Deployment
from exo_graphql.deployments.schedule import Window
from exo_graphql.deployments.timetable import timetable
from exo_graphql.documents import document
from exo_graphql.engine.costs import Costs
from exo_graphql.engine.limits import DEFAULT_LIMITS
from exo_graphql.engine.list_sizes import ListSizes
from exo_graphql.schema.build import build_schema
from exo_graphql.web import dashboard
from tests.deployments import views

BEGIN = datetime(2026, 6, 22, tzinfo=UTC)


def _two_hundred(cron: str) -> list[Deployment]:
    """`cron` is filled with another minute and hour for each."""
    return [
        views.deployment(f"d-{n}", f"m-{n}", schedule=(Window(cron.format(m=n % 60, h=n % 24), 30, "UTC"),))
        for n in range(200)
    ]


CRONS = {"spread": "{m} {h} * * *", "together": "0 6 * * *", "often": "0 */4 * * *"}


@pytest.mark.parametrize("cron", CRONS.values(), ids=CRONS)
def test_a_calendar_of_two_hundred_deployments_says_each_change_once(cron: str) -> None:
    kept = _two_hundred(cron)
    entries = calendar(views.view(views.snapshot(), *kept), BEGIN, 14)
    assert len(entries) <= MAX_ENTRIES
    assert sum(len(entry.loads) + len(entry.unloads) for entry in entries) <= MAX_CHANGES
    assert entries[0].begins == BEGIN
    # It ends sooner rather than leave something out.
    assert entries[-1].ends <= BEGIN + timedelta(days=14)
    wanted: set[str] = set(entries[0].names)
    for before, entry in pairwise(entries):
        assert before.ends == entry.begins
        wanted = wanted - set(entry.unloads) | set(entry.loads)
        assert wanted == set(entry.names) != set(before.names)


@pytest.mark.parametrize("cron", CRONS.values(), ids=CRONS)
@pytest.mark.parametrize("asks", ["dashboard", "command line"])
def test_a_calendar_of_two_hundred_deployments_is_allowed(cron: str, asks: str) -> None:
    script = Path(dashboard.__file__).with_name("static").joinpath("documents.js").read_text(encoding="utf-8")
    (of_dashboard,) = re.findall(r"const CALENDAR = `([^`]*)`", script)
    text = of_dashboard if asks == "dashboard" else document("calendar").text
    kept = [assess_unseen(d, timetable(d.spec, (), None, BEGIN), views.NOW) for d in _two_hundred(cron)]
    (operation,) = (each for each in parse(text).definitions if isinstance(each, OperationDefinitionNode))
    cost = Costs(build_schema()).of(parse(text), operation, ListSizes(None, tuple, lambda: kept))
    assert cost.total <= DEFAULT_LIMITS.max_calendar_cost
