"""The commands that look, against four unlike nodes in the middle of a working day."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exo_graphql.cli import views
from exo_graphql.cli.layout import Page, Prose
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from exo_graphql.simulator.scenario import DOWNLOADING_MODEL, READY_MODEL
from tests.cli.conftest import Command, command_at
from tests.support.threaded import Served, served

View = Callable[[Any, bool], Page]

NODES = ["Mac Studio 1", "Mac Studio 2", "Mac mini", "spark-7f21"]


def shown(view: View, data: Any) -> str:
    """What the view shows of the data."""
    lines = (line for part in view(data, False) if isinstance(part, Prose) for line in part.lines(100))
    return "".join(f"{line.plain}\n" for line in lines)


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["status"], {"cluster", "operations"}),
        (["health"], {"cluster"}),
        (["nodes"], {"nodes"}),
        (["nodes", "Mac mini"], {"node"}),
        (["models"], {"models", "downloads"}),
        (["models", "status", READY_MODEL], {"modelStatus"}),
        (["downloads"], {"downloads"}),
        (["tasks"], {"tasks"}),
        (["operations"], {"operations"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_with_json_stdout_is_the_data_of_the_answer(look: Command, arguments: list[str], keys: set[str]) -> None:
    ran = look("--json", *arguments)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json.keys() == keys


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["nodes"], ["nodes", "Mac mini"], ["models"], ["models", "--all"], ["tasks"]],
    ids=" ".join,
)
def test_without_a_terminal_there_are_no_control_codes_and_no_wrapped_lines(
    look: Command, arguments: list[str]
) -> None:
    ran = look(*arguments)
    assert (ran.code, ran.err) == (0, "")
    assert all(line.isprintable() for line in ran.out.split("\n"))
    assert "…" not in ran.out


def test_status_tells_of_health_memory_nodes_and_models(look: Command) -> None:
    out = look("status").out
    assert "Cluster healthy  4 of 4 nodes online, 1 model loaded" in out
    assert "of 1,207.7 GiB free" in out
    assert all(f"\n{node} " in out for node in NODES)
    assert READY_MODEL.rsplit("/", 1)[-1] in out


def test_status_names_the_servers_where_there_are_several(look: Command) -> None:
    data = look("--json", "status").json
    (own,) = data["cluster"]["replicas"]
    assert "Servers" not in look("status").out
    since = (datetime.now(UTC) - timedelta(minutes=3)).isoformat()
    data["cluster"]["replicas"] = [
        {**own, "name": "a:1", "leader": False},
        {"name": "b:1", "leader": True, "since": since},
    ]
    assert "\nServers a:1, b:1 (leader for 3m)\n" in shown(views.status, data)
    data["cluster"]["replicas"][1]["leader"] = False
    assert "\nServers a:1, b:1: none of them leads\n" in shown(views.status, data)


def test_what_a_machine_does_not_report_is_a_dash(look: Command) -> None:
    (line,) = (line for line in look("nodes").out.splitlines() if line.startswith("spark-7f21"))
    assert line.split()[:3] == ["spark-7f21", "ONLINE", "-"]


def test_a_node_answers_to_its_name_and_its_id(look: Command) -> None:
    id_ = look("--json", "nodes", "mac MINI").json["node"]["id"]
    out = look("nodes", id_).out
    assert out.startswith("Mac mini  ONLINE")
    assert id_ in out


def test_a_node_that_is_none_exits_with_1_and_names_those_that_are(look: Command) -> None:
    ran = look("--json", "nodes", "nonsense")
    assert (ran.code, ran.json["node"], ran.json["error"]["code"]) == (1, None, "NODE_NOT_FOUND")
    assert "[NODE_NOT_FOUND]" in ran.err
    assert all(node in ran.err for node in NODES)


def test_models_are_the_loaded_ones_and_what_is_being_downloaded(look: Command) -> None:
    out = look("models").out
    assert [line.split()[0] for line in out.splitlines()[1:2]] == [READY_MODEL.rsplit("/", 1)[-1]]
    assert DOWNLOADING_MODEL.rsplit("/", 1)[-1] in out


def test_all_models_are_the_whole_catalogue(look: Command) -> None:
    assert len(look("--json", "models", "--all").json["models"]) > 100
    found = look("--json", "models", "--search", "kimi").json["models"]
    assert found
    assert all("kimi" in model["id"].lower() for model in found)


def test_a_model_s_status_is_0_when_it_is_ready_and_when_it_is_not_loaded(look: Command) -> None:
    ready = look("models", "status", READY_MODEL)
    assert ready.code == 0
    assert "Mac Studio 1" in ready.out
    unloaded = look("models", "status", "Kimi-K2.5")
    assert (unloaded.code, unloaded.out.splitlines()[0]) == (0, "mlx-community/Kimi-K2.5  NOT_LOADED")


def test_a_model_that_nothing_knows_exits_with_1(look: Command) -> None:
    ran = look("--json", "models", "status", "nonsense")
    assert (ran.code, ran.json["modelStatus"]["found"]) == (1, False)
    assert "No model is called 'nonsense'." in ran.err


def test_downloads_are_chosen_by_status_model_and_node(look: Command) -> None:
    under_way = look("--json", "downloads", "--status", "DOWNLOADING").json["downloads"]
    assert [entry["model"]["id"] for entry in under_way] == [DOWNLOADING_MODEL]
    assert under_way[0]["speedMbS"] > 0
    there = look("--json", "downloads", "--model", READY_MODEL, "--node", "Mac Studio 1").json["downloads"]
    assert [(entry["node"]["friendlyName"], entry["status"]) for entry in there] == [("Mac Studio 1", "COMPLETED")]
    unknown = look("--json", "downloads", "--model", "nonsense")
    assert (unknown.code, unknown.json["downloads"], unknown.json["error"]["code"]) == (1, None, "MODEL_NOT_FOUND")


def test_tasks_are_chosen_by_status(look: Command) -> None:
    tasks = look("--json", "tasks", "--status", "complete", "--model", READY_MODEL).json["tasks"]
    assert {task["status"] for task in tasks} == {"COMPLETE"}


def test_no_operations_is_no_failure(look: Command) -> None:
    assert (look("operations").code, look("operations").out) == (0, "No operations.\n")


def test_an_operation_that_is_none_exits_with_1(look: Command) -> None:
    ran = look("--json", "operations", "nonsense")
    assert (ran.code, ran.json["operation"], ran.json["error"]["code"]) == (1, None, "OPERATION_NOT_FOUND")
    assert "[OPERATION_NOT_FOUND]" in ran.err
    assert look("operations", "cancel", "nonsense").code == 1
    assert look("operations", "nonsense", "--wait").code == 1


def test_health_is_0_when_healthy_and_1_with_the_reason_when_not() -> None:
    with served(SimulatedExo(tiny_scenario(3), seed=1)) as three:
        ask = command_at(three.url)
        well = ask("health")
        assert (well.code, well.out, well.err) == (0, "healthy: 3 of 3 nodes online\n", "")
        control = three.server.exo.control
        three.call(lambda: control.kill_node("node-2"))
        three.call(lambda: control.advance(12))
        ill = ask("health")
        assert (ill.code, ill.out) == (1, "unhealthy: 2 of 3 nodes online\n")
        assert "error: Node node-2 has sent no heartbeat" in ill.err
        assert ask("--json", "health").json["cluster"]["healthy"] is False


@pytest.mark.parametrize(
    ("command", "view"), [("status", views.status), ("health", views.health)], ids=["status", "health"]
)
def test_values_that_are_not_current_are_said_to_be_with_their_age(look: Command, command: str, view: View) -> None:
    """`ageSeconds` would not do: where exo's master hangs, the same old state is received again and again."""
    data = look("--json", command).json
    assert data["cluster"]["staleSince"] is None
    assert "Not current" not in shown(view, data)
    minute_ago = datetime.now(UTC) - timedelta(seconds=90)
    data["cluster"] |= {"healthy": False, "stale": True, "staleSince": minute_ago.isoformat(), "ageSeconds": 0.1}
    text = shown(view, data)
    assert "\nNot current: this is the cluster as it was 1m ago.\n" in text
    assert "exo does not answer" not in text


def test_a_model_s_status_that_is_not_current_names_no_cause_that_may_be_another(look: Command) -> None:
    data = look("--json", "models", "status", READY_MODEL).json
    assert "not current" not in shown(views.model_status, data)
    data["modelStatus"]["stale"] = True
    text = shown(views.model_status, data)
    assert "(not current)" in text
    assert "exo does not answer" not in text


def test_a_read_only_server_refuses_mutations_with_exit_code_1_and_says_why() -> None:
    with served(SimulatedExo(tiny_scenario(), seed=1), read_only=True) as server:
        ran = command_at(server.url)("models", "load", "tiny-a")
    assert (ran.code, ran.out) == (1, "")
    assert "--read-only" in ran.err


def test_a_server_that_exo_does_not_answer_is_1() -> None:
    exo = SimulatedExo(tiny_scenario(), seed=1)
    exo.control.drop_connections = True
    with served(exo, demo=False) as server:
        poller = server.server.components.poller
        poller.rules = replace(poller.rules, first_wait=0.5)  # not the usual 5 s
        ran = command_at(server.url)("--json", "health")
    assert (ran.code, ran.json["error"]["code"], "[CLUSTER_UNAVAILABLE]" in ran.err) == (1, "CLUSTER_UNAVAILABLE", True)


@pytest.mark.parametrize(
    ("scopes", "arguments", "code", "message"),
    [
        (None, ["status"], 1, "Token required. [UNAUTHENTICATED]"),
        ("wrong-secret", ["status"], 1, "This token is not valid. [UNAUTHENTICATED]"),
        ("reading-secret", ["status"], 0, ""),
        ("reading-secret", ["models", "load", "tiny-a"], 1, "[FORBIDDEN]"),
        ("operating-secret", ["models", "load", "tiny-a"], 0, ""),
    ],
)
def test_a_token_opens_what_its_scope_allows(
    guarded: Served, scopes: str | None, arguments: list[str], code: int, message: str
) -> None:
    options = [] if scopes is None else ["--token", scopes]
    ran = command_at(guarded.url)(*options, *arguments)
    assert ran.code == code
    assert message in ran.err
    assert ("--token" in ran.err) is (code == 1)
    assert scopes is None or scopes not in ran.err
