"""The alerts and the dashboard: valid to Prometheus itself, and about metrics that the server really has."""

import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from exo_graphql.program import app
from exo_graphql.simulator import SimulatedExo, default_scenario
from tests.support.promtool import promtool
from tests.support.running import running

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parents[2] / "exo_graphql" / "observability" / "monitoring"
ALERTS, DASHBOARD = FOLDER / "alerts.yaml", FOLDER / "dashboard.json"
RULE_TESTS = Path(__file__).parents[1] / "data" / "alerts_test.yaml"
DECLARED = '[deployments.day]\nmodel = "Llama-3.2-3B-Instruct-4bit"\n'
# Prometheus itself adds these to each series.
ADDED = {"instance", "job", "le"}

Series = Mapping[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
async def metrics(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """What a server says of a busy cluster with a deployments file."""
    file = tmp_path_factory.mktemp("monitoring") / "deployments.toml"
    file.write_text(DECLARED, encoding="utf-8")
    exo = SimulatedExo(default_scenario(), seed=3)
    async with running(exo, deployments=file) as server, httpx.AsyncClient() as client:
        await client.post(server.url, json={"query": "{ cluster { nodeCount } }"})
        while not server.components.deployments.all():  # the file is applied when two reads of it are equal
            await client.post(server.url, json={"query": "{ cluster { stateVersion } }"})
        yield (await client.get(server.url.replace("/graphql", "/metrics"))).text


def labels_by_name(metrics: str) -> Series:
    """The labels of each series."""
    found = defaultdict(list)
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            found[sample.name].append(dict(sample.labels))
    return found


def alerts() -> Iterator[tuple[str, str]]:
    """Name and expression of each alert. Their file is simple enough to be read without a parser for YAML."""
    text = ALERTS.read_text(encoding="utf-8")
    return iter(re.findall(r"- alert: (\w+)\n +expr: (.+)\n", text))


def panels() -> Iterator[tuple[str, str, str]]:
    """Title, expression and legend of everything that the dashboard shows."""
    board: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m"), target["legendFormat"]
    for each in board["annotations"]["list"]:
        yield each["name"], each["expr"], ""


def test_there_is_an_alert_for_everything_that_can_be_wrong() -> None:
    names = [name for name, _ in alerts()]
    assert len(names) == len(set(names)) == 17
    tested = RULE_TESTS.read_text(encoding="utf-8")
    fires = {name for name in names if re.search(rf"alertname: {name}\n +exp_alerts", tested)}
    rests = {name for name in names if re.search(rf"alertname: {name} }}", tested)}
    assert (fires, rests) == (set(names), set(names))


async def test_the_metrics_labels_and_values_that_they_name_are_there(metrics: str) -> None:
    series = labels_by_name(metrics)
    checks = [(name, expression, "") for name, expression in alerts()] + list(panels())
    assert len(checks) > 40
    assert [problem for check in checks for problem in problems(*check, series)] == []


def problems(name: str, expression: str, legend: str, series: Series) -> Iterator[tuple[str, object]]:
    """What an expression or legend names that no series has."""
    names = set(re.findall(r"\bexo_\w+", expression))
    if not names or names - series.keys():
        yield name, names - series.keys()
        return
    known = {label for each in names for labels in series[each] for label in labels}
    grouped = re.findall(r"(?:by|on|without) \(([^)]*)\)", expression)
    used = {label.strip() for group in grouped for label in group.split(",")} | set(re.findall(r"{{(\w+)}}", legend))
    if used - known - ADDED:
        yield name, used - known - ADDED
    for metric, matchers in re.findall(r"(\bexo_\w+)\{([^}]*)\}", expression):
        for label, values in re.findall(r'(\w+)(?:=|=~|!=)"([^"]*)"', matchers):
            unknown = set(values.split("|")) - {labels.get(label) for labels in series[metric]}
            if unknown:
                yield name, unknown


@pytest.mark.promtool
async def test_promtool_accepts_the_metrics(metrics: str) -> None:
    assert promtool("check", "metrics", text=metrics) == ""


@pytest.mark.promtool
def test_promtool_accepts_the_alerts_and_each_fires_when_it_should_and_only_then() -> None:
    assert "17 rules found" in promtool("check", "rules", ALERTS)
    assert "SUCCESS" in promtool("test", "rules", RULE_TESTS)


@pytest.mark.promtool
def test_promtool_accepts_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": expression} for n, (_, expression, _) in enumerate(panels())]
    file = tmp_path / "dashboard.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)


@pytest.mark.parametrize(("name", "file"), [("alerts", ALERTS), ("dashboard", DASHBOARD)])
def test_the_command_prints_a_file(name: str, file: Path) -> None:
    ran = CliRunner().invoke(app, ["monitoring", name])
    assert (ran.exit_code, ran.stdout) == (0, file.read_text(encoding="utf-8"))
