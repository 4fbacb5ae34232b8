"""The verbs beside load, unload and swap: what each does, seen in the cluster, and what it says where it cannot."""

import re

import pytest

from exo_graphql import __version__
from tests.cli.conftest import Command, Ran, command_at
from tests.support.threaded import Served


def test_a_download_is_started_stopped_and_removed(slow: Served) -> None:
    act = command_at(slow.url)
    started = act("models", "download", "absent", "--node", "node-1")
    assert (started.code, started.err) == (0, "")
    assert re.search(r"node-1\s+yes", started.out)
    stopped = act("downloads", "cancel", "absent", "--node", "node-1")
    assert stopped.code in (0, 1), stopped  # exo may not have begun yet: then it says that there is nothing to cancel
    removed = act("models", "delete", "tiny-a", "--node", "node-1")
    assert (removed.code, removed.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["models", "download", "nonsense"], "MODEL_NOT_FOUND"),
        (["models", "delete", "nonsense"], "MODEL_NOT_FOUND"),
        (["downloads", "cancel", "nonsense"], "MODEL_NOT_FOUND"),
        (["models", "download", "tiny-a", "--node", "nonsense"], "NODE_NOT_FOUND"),
        (["models", "show", "nonsense"], "MODEL_NOT_FOUND"),
        (["models", "plan", "nonsense"], "MODEL_NOT_FOUND"),
        (["tasks", "cancel", "nonsense"], "TASK_NOT_FOUND"),
        (["operations", "cancel", "nonsense"], "OPERATION_NOT_FOUND"),
        (["operations", "resume", "nonsense"], "OPERATION_NOT_FOUND"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_not_there_is_1_with_a_code(act: Command, arguments: list[str], code: str, as_json: bool) -> None:
    ran = act(*(["--json"] if as_json else []), *arguments)
    assert ran.code == 1, ran
    assert f"[{code}]" in ran.err
    if as_json:
        assert ran.json["error"]["code"] == code


def test_a_plan_says_where_it_fits_or_what_to_unload(act: Command) -> None:
    fits = act("models", "plan", "tiny-a")
    assert (fits.code, fits.err) == (0, "")
    assert re.search(r"PIPELINE MLX_RING\s+yes", fits.out)
    assert act("models", "load", "half", "--wait").code == 0
    refused = act("models", "plan", "other-half")
    assert refused.code == 1, refused
    assert "half" in refused.out + refused.err
    assert act("models", "plan", "huge").code == 1


def test_a_plan_is_applied_once_by_its_hash(act: Command) -> None:
    assert act("models", "load", "half", "--wait").code == 0
    plan = act("--json", "models", "plan", "other-half", "--unload", "half").json["plan"]
    assert [model["id"] for model in plan["unloads"]] == ["test/half"]
    applied = act("models", "apply", plan["hash"], "--wait")
    assert (applied.code, "error" in applied.err) == (0, False), applied
    assert [m["id"] for m in act("--json", "models").json["models"]] == ["test/other-half"]
    again = act("--json", "models", "apply", plan["hash"]).json["applyPlan"]["operation"]
    assert again["state"] == "SUCCEEDED"
    back = act("--json", "models", "plan", "half", "--unload", "other-half").json["plan"]
    assert act("models", "unload", "other-half", "--wait").code == 0
    outdated = act("models", "apply", back["hash"])
    assert (outdated.code, "[PLAN_OUTDATED]" in outdated.err) == (1, True), outdated
    assert act("models", "apply", "nonsense").code == 1


def test_models_of_the_hub_are_found_added_and_removed(act: Command) -> None:
    found = act("models", "search", "smollm")
    assert (found.code, "mlx-community/SmolLM3-3B-4bit" in found.out) == (0, True)
    assert act("models", "add", "mlx-community/SmolLM3-3B-4bit").code == 0
    assert act("--json", "models", "--search", "smollm").json["models"][0]["id"] == "mlx-community/SmolLM3-3B-4bit"
    assert act("models", "remove", "SmolLM3-3B-4bit").code == 0
    assert act("--json", "models", "--search", "smollm").json["models"] == []
    for arguments, code in ((("remove", "tiny-a"), "MODEL_NOT_CUSTOM"), (("add", "x/y"), "MODEL_NOT_ADDED")):
        refused = act("models", *arguments)
        assert (refused.code, f"[{code}]" in refused.err) == (1, True), refused


def test_a_model_is_shown_whole(act: Command) -> None:
    assert act("models", "load", "tiny-a", "--wait").code == 0
    shown = act("models", "show", "tiny-a")
    assert shown.code == 0
    for part in ("test/tiny-a  READY", "Instances", "node-"):
        assert part in shown.out, shown.out


def test_an_operation_that_has_ended_is_neither_cancelled_nor_resumed(act: Command) -> None:
    assert act("models", "load", "tiny-a", "--wait").code == 0
    (operation,) = _listed(act("--json", "operations", "list"))
    for verb in ("cancel", "resume"):
        ran = act("operations", verb, operation["id"])
        assert (ran.code, "[OPERATION_FINISHED]" in ran.err) == (1, True), ran


def _listed(ran: Ran) -> list[dict[str, str]]:
    found = ran.json
    return list(found["operations"] if isinstance(found, dict) else found)


def test_lists_are_lists_by_either_name(act: Command) -> None:
    assert act("models", "load", "tiny-a", "--wait").code == 0
    for noun in ("models", "operations"):
        assert act(noun, "list").out.splitlines()[1].split() == act(noun).out.splitlines()[1].split()


def test_ids_are_short_unless_asked_for(act: Command) -> None:
    assert act("models", "load", "tiny-a", "--wait").code == 0
    (operation,) = _listed(act("--json", "operations"))
    assert operation["id"] not in act("operations").out
    assert operation["id"][:8] in act("operations").out
    assert operation["id"] in act("--wide", "operations").out


def test_the_version_is_shown_without_a_server(act: Command) -> None:
    assert act("--version").out.strip() == f"exo-graphql {__version__}"
