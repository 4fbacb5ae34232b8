"""The commands that change the cluster, and how they wait."""

import re

import pytest

from exo_graphql.cli.waiting import operation_failure
from exo_graphql.simulator import SimulatedExo, default_scenario
from exo_graphql.simulator.faults import Fault
from tests.cli.conftest import Command, Ran, command_at
from tests.support.threaded import Served, served


def phase(act: Command, model: str) -> str:
    """Where a model stands."""
    return str(act("--json", "models", "status", model).json["modelStatus"]["phase"])


def operation_in(text: str) -> str:
    """The operation's id that a text names."""
    found = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text)
    assert found is not None, text
    return found[0]


def test_a_load_is_0_once_it_is_accepted_and_says_how_to_follow_it(slow: Served) -> None:
    act = command_at(slow.url)
    ran = act("models", "load", "tiny-a")
    assert (ran.code, ran.err) == (0, "")
    assert f"exo-graphql operations {operation_in(ran.out)} --wait" in ran.out
    assert not act("--json", "models", "status", "tiny-a").json["modelStatus"]["ready"]


def test_a_load_that_waits_is_0_once_the_model_is_ready(act: Command) -> None:
    ran = act("models", "load", "--wait", "tiny-a")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "SUCCEEDED: 100 % test/tiny-a ready."
    assert phase(act, "tiny-a") == "READY"


def test_a_load_that_waits_shows_the_bytes_on_their_way_with_speed_and_time_to_go(act: Command) -> None:
    out = act("models", "load", "--wait", "absent").out
    shown = r"^DOWNLOADING: \d+ % absent: Downloading: [\d.]+ of 1.4 GiB at .* \([\d.,]+ MiB/s, \d+ s to go\)$"
    assert re.search(shown, out, re.MULTILINE), out


def test_a_load_that_waits_shows_the_layers_on_their_way_with_speed_and_time_to_go() -> None:
    with served(SimulatedExo(default_scenario(), speed=2.0, seed=1)) as server:
        out = command_at(server.url)("models", "load", "--wait", "qwen3-30b-a3b-4bit").out
    shown = r"^LOADING: \d+ % Qwen3-30B-A3B-4bit: Loading layers: \d+ of 48\. \([\d.]+ layers/s, \d+ s to go\)$"
    assert re.search(shown, out, re.MULTILINE), out


def test_with_json_what_was_waited_for_is_one_document(act: Command) -> None:
    operation = act("--json", "models", "load", "--wait", "tiny-a").json["operation"]
    assert (operation["state"], operation["kind"], operation["loads"][0]["id"]) == ("SUCCEEDED", "LOAD", "test/tiny-a")


def test_what_is_loaded_is_not_loaded_again_unless_another_copy_is_wanted(act: Command) -> None:
    for extra, instances in ([], 1), ([], 1), (["--additional"], 2):
        assert act("models", "load", "tiny-a", "--wait", *extra).code == 0
        assert len(act("--json", "models", "status", "tiny-a").json["modelStatus"]["instances"]) == instances


def test_every_argument_of_a_mutation_is_sent(act: Command) -> None:
    assert act("models", "load", "tiny-b", "--wait", "--min-nodes", "2", "--sharding", "tensor").code == 0
    (instance,) = act("--json", "models", "status", "tiny-b").json["modelStatus"]["instances"]
    assert (instance["sharding"], len(instance["shards"])) == ("TENSOR", 2)
    assert act("models", "load", "tiny-a", "--wait", "--node", "node-2", "--instance-type", "MLX_RING").code == 0
    (instance,) = act("--json", "models", "status", "tiny-a").json["modelStatus"]["instances"]
    assert instance["instanceType"] == "MLX_RING"
    assert [shard["node"]["friendlyName"] for shard in instance["shards"]] == ["node-2"]


def test_an_unload_names_one_instance_or_takes_them_all(act: Command) -> None:
    for extra in [], ["--additional"]:
        assert act("models", "load", "tiny-a", "--wait", *extra).code == 0
    first = act("--json", "models", "status", "tiny-a").json["modelStatus"]["instances"][0]["id"]
    assert act("models", "unload", "tiny-a", "--instance", first, "--wait", "--drain-seconds", "0").code == 0
    (left,) = act("--json", "models", "status", "tiny-a").json["modelStatus"]["instances"]
    assert left["id"] != first
    assert act("models", "unload", "tiny-a", "--wait").code == 0
    assert phase(act, "tiny-a") == "NOT_LOADED"


def test_a_swap_takes_lists_with_commas(act: Command) -> None:
    assert act("models", "load", "tiny-a", "--wait").code == 0
    ran = act("models", "swap", "--wait", "tiny-a", "tiny-b, tiny-c")
    assert (ran.code, ran.err) == (0, "")
    assert [phase(act, f"tiny-{letter}") for letter in "abc"] == ["NOT_LOADED", "READY", "READY"]


def test_a_swap_that_fails_after_the_unload_is_1_and_says_that_it_was_rolled_back(tiny: Served, act: Command) -> None:
    assert act("models", "load", "half", "--wait").code == 0
    tiny.call(lambda: tiny.server.exo.control.inject(Fault("load-fails", "test/other-half")))
    ran = act("--json", "models", "swap", "half", "other-half", "--wait")
    assert (ran.code, ran.json["operation"]["state"]) == (1, "ROLLED_BACK")
    assert "Rolled back: test/half is ready again. [LOAD_FAILED]" in ran.err
    assert phase(act, "half") == "READY"


def test_a_swap_that_fails_before_the_unload_does_not_claim_to_have_restored_anything(
    tiny: Served, act: Command
) -> None:
    assert act("models", "load", "tiny-a", "--wait").code == 0
    tiny.call(lambda: tiny.server.exo.control.inject(Fault("load-fails", "test/tiny-b")))
    ran = act("--json", "models", "swap", "tiny-a", "tiny-b", "--wait")
    assert (ran.code, ran.json["operation"]["state"]) == (1, "FAILED")
    assert "What had been placed is removed again. [LOAD_FAILED]" in ran.err
    assert "ready again" not in ran.err
    assert phase(act, "tiny-a") == "READY"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["load", "nonsense"], "MODEL_NOT_FOUND", "nonsense"),
        (["load", "tiny"], "MODEL_NOT_FOUND", "test/tiny-a"),
        (["load", "huge"], "INSUFFICIENT_MEMORY", "hint:"),
        (["load", "tiny-a", "--node", "nonsense"], "NODE_NOT_FOUND", "node-1, node-2"),
        (["unload", "tiny-a"], "MODEL_NOT_LOADED", "hint:"),
        (["swap", "nonsense", "tiny-a", "--wait"], "MODEL_NOT_FOUND", "nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_refusal_is_1_with_the_reason_and_how_to_go_on(
    act: Command, arguments: list[str], code: str, message: str
) -> None:
    ran = act("models", *arguments)
    assert (ran.code, ran.out) == (1, "")
    assert f"[{code}]" in ran.err
    assert message in ran.err
    answer = act("--json", "models", *arguments).json
    assert answer.pop("error")["code"] == code
    (payload,) = answer.values()
    assert (payload["operation"], payload["error"]["code"]) == (None, code)


def test_the_same_key_gives_the_same_operation(slow: Served) -> None:
    act = command_at(slow.url)
    keyed = ["--json", "models", "load", "tiny-a", "--idempotency-key", "mine"]
    first, second = (act(*keyed).json["loadModel"]["operation"]["id"] for _ in range(2))
    assert first == second
    other = act("models", "load", "tiny-b", "--idempotency-key", "mine")
    assert (other.code, "[IDEMPOTENCY_KEY_REUSED]" in other.err) == (1, True)


def test_after_the_time_out_it_exits_with_124_and_the_operation_continues(slow: Served) -> None:
    act = command_at(slow.url)
    ran = act("--json", "models", "load", "absent", "--wait", "--timeout", "0.5", "--poll-interval", "0.1")
    id_ = ran.json["operation"]["id"]
    assert ran.code == 124
    assert f"The operation {id_} continues." in ran.err
    assert act("--json", "operations", id_).json["operation"]["state"] == "RUNNING"


def test_an_operation_is_listed_and_cancelled_and_then_failed(slow: Served) -> None:
    act = command_at(slow.url)
    id_ = operation_in(act("models", "load", "absent").out)
    assert [entry["id"] for entry in act("--json", "operations", "--active").json["operations"]] == [id_]
    assert act("operations", id_).code == 0
    assert act("operations", "cancel", id_).code == 0
    ended = act("operations", id_, "--wait")
    assert (ended.code, "[CANCELLED]" in ended.err) == (1, True)
    assert act("operations", id_).code == 1
    again = act("operations", "cancel", id_)
    assert (again.code, "[OPERATION_FINISHED]" in again.err) == (1, True)


def test_a_model_s_status_can_be_waited_for(act: Command) -> None:
    assert act("models", "load", "tiny-a").code == 0
    ran = act("models", "status", "tiny-a", "--wait")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "READY: 100 % Ready to serve.")
    assert act("--json", "models", "status", "tiny-a", "--wait").json["modelStatus"]["ready"] is True
    assert act("models", "status", "nonsense", "--wait").code == 1
    late = act("models", "status", "tiny-b", "--wait", "--timeout", "0.2")
    assert (late.code, "test/tiny-b is not ready." in late.err or "tiny-b is not ready." in late.err) == (124, True)


def test_waiting_for_a_model_that_exo_gives_up_is_1(tiny: Served, act: Command) -> None:
    tiny.call(lambda: tiny.server.exo.control.inject(Fault("load-fails", "test/tiny-a")))
    assert act("models", "load", "tiny-a").code == 0
    ran = act("--json", "models", "status", "tiny-a", "--wait")
    assert (ran.code, ran.json["modelStatus"]["final"]) == (1, True)
    assert ran.err.startswith("error: test/tiny-a:")


LINES_OF_PR_1728 = [
    "status",
    "health",
    "nodes",
    "nodes node-1",
    "models",
    "models load --wait tiny-a",
    "models status tiny-a",
    "models load tiny-a --wait --min-nodes 1 --sharding auto --poll-interval 5.0 --timeout 600",
    "models swap tiny-a tiny-b --wait --min-nodes 1 --sharding pipeline --poll-interval=2 --timeout=600.0",
    "models unload tiny-b",
]


def test_the_command_lines_of_exo_cli_run_as_they_are(tiny: Served) -> None:
    """https://github.com/exo-explore/exo/pull/1729, `src/exo/cli/main.py`: host, port and json before the command."""
    act = command_at("http://127.0.0.1:1")
    for line in LINES_OF_PR_1728:
        for json in [], ["--json"]:
            if json and ("unload" in line or "swap" in line):
                continue  # done once, it cannot be done again
            ran: Ran = act("--host", "localhost", "--port", str(tiny.relay.port), *json, *line.split())
            assert (ran.code, ran.err) == (0, ""), line


def test_a_parked_operation_is_1_and_names_both_ways_out() -> None:
    failure = operation_failure({"id": "op", "state": "PARKED", "message": "Begun on another cluster.", "error": None})
    assert failure is not None
    assert (failure.code, failure.exit_code) == ("PARKED", 1)
    assert "operations resume op" in str(failure.suggestion)
    assert "operations cancel op" in str(failure.suggestion)
