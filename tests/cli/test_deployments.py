"""Deployments on the command line: as code and by hand, with their exit codes."""

import io
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from exo_graphql.cli import deployment_views, times
from exo_graphql.cli.deployment_commands import as_toml
from exo_graphql.deployment_file.reader import read
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.cli.conftest import Command, Start, command_at
from tests.support.running import PATIENCE
from tests.support.threaded import Served, served

NIGHT = '{ cron = "0 23 * * *", durationMinutes = 420, timeZone = "Europe/Berlin" }'
A = '[deployments.a]\nmodel = "tiny-a"\n'
B = '[deployments.b]\nmodel = "tiny-b"\n'


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def written(text: str) -> str:
        (tmp_path / "d.toml").write_text(text)
        return str(tmp_path / "d.toml")

    return written


Write = Callable[[str], str]


# As code


def test_apply_plans_applies_and_then_has_nothing_to_change(act: Command, write: Write) -> None:
    file = write(A + f"schedule = [{NIGHT}]\npriority = 2\n\n" + B)
    dry = act("apply", "-f", file, "--dry-run")
    assert (dry.code, dry.err) == (2, "")
    for line in (
        "+ a is new",
        '  + model = "test/tiny-a"',
        "  + priority = 2",
        '  + schedule = { cron = "0 23 * * *", durationMinutes = 420, timeZone = "Europe/Berlin", readyBy = false }',
        "+ b is new",
        "Plan: 2 new, 0 changed, 0 unchanged.",
    ):
        assert line in dry.out.splitlines()
    assert re.search(r"  opens +\w{3} \d+ \w{3} \d\d:\d\d", dry.out)
    assert re.search(r"  loads +tiny-b on node-\d", dry.out)
    assert act("--json", "deployments").json["deployments"] == [], "a dry run changes nothing"
    done = act("apply", "-f", file)
    assert (done.code, done.err) == (2, "")
    assert done.out.splitlines()[-1] == "Applied: 2 new, 0 changed, 0 unchanged."
    again = act("apply", "-f", file)
    assert (again.code, again.out.splitlines()[-1]) == (0, "Applied: 0 new, 0 changed, 2 unchanged.")
    changed = act("--json", "apply", "-f", write(A + f"schedule = [{NIGHT}]\n\n" + B), "--dry-run")
    assert changed.code == 2
    a, b = changed.json["deployments"]
    assert (a["status"], a["applied"], a["generation"]) == ("changed", False, 1)
    assert a["changes"] == [{"argument": "priority", "before": "2", "after": "0"}]
    assert b["status"] == "unchanged"


def test_a_list_shows_the_elements_that_go_and_come(act: Command, write: Write) -> None:
    act("apply", "-f", write(A + f'nodes = ["node-1"]\nschedule = [{NIGHT}]\n'))
    other = NIGHT.replace("420", "60")
    out = act("apply", "--dry-run", "-f", write(A + f"schedule = [{NIGHT}, {other}]\n")).out
    assert '  - nodes = "node-1"' in out
    assert "  + schedule = " in out
    assert "durationMinutes = 60" in out
    assert "durationMinutes = 420" not in out, "what stays is not shown"


def test_an_apply_of_the_same_leaves_a_person_s_pause(act: Command, write: Write) -> None:
    file = write(A)
    act("apply", "-f", file)
    assert act("pause", "a").code == 0
    ran = act("apply", "-f", file)
    assert ran.code == 0
    assert "It stays paused: Paused by a person." in ran.out
    assert act("--json", "deployments", "a").json["deployment"]["state"] == "PAUSED"


def test_what_would_be_unloaded_is_shown(tiny: Served, act: Command, write: Write) -> None:
    act("deploy", "first", "half")
    tiny.until(lambda: tiny.server.components.deployments.get("first").ready)  # type: ignore[union-attr]
    ran = act("apply", "--dry-run", "-f", write('[deployments.second]\nmodel = "other-half"\npriority = 5\n'))
    assert ran.code == 2
    assert re.search(r"  fits +yes, once something is unloaded", ran.out)
    assert re.search(r"  unloads +half\n", ran.out)
    refused = act("apply", "--dry-run", "-f", write('[deployments.second]\nmodel = "other-half"\n'))
    assert refused.code == 2, "it is declared, and waits for space"
    assert re.search(r"  fits +no: test/other-half needs .*test/half \(deployment first\)", refused.out)


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        (A + "min_nodes = 2", "INVALID_FILE", "line 3, deployments.a.min_nodes: There is no such key."),
        (A + A, "INVALID_FILE", "line 3, deployments.a: This is declared twice."),
        (A + '[deployments.b]\nmodel = "nobody"', "MODEL_NOT_FOUND", "line 4, deployments.b.model: "),
        (A + B + 'nodes = ["nobody"]', "NODE_NOT_FOUND", "line 5, deployments.b.nodes: "),
        (
            A + f"schedule = [\n{NIGHT},\n" + '{ cron = "0 0 31 2 *", durationMinutes = 1 },\n]',
            "INVALID_ARGUMENT",
            "line 5, deployments.a.schedule[1].cron: '0 0 31 2 *' is not a cron line",
        ),
        (A + f"schedule = [{NIGHT.replace('0 23', '0 0 23')}]", "INVALID_ARGUMENT", "has 6 fields, not five"),
        (A + f"schedule = [{NIGHT.replace('420', '0')}]", "INVALID_ARGUMENT", "line 3, deployments.a.schedule[0]."),
        (A + f"schedule = [{NIGHT.replace('Europe/Berlin', 'Mars')}]", "INVALID_ARGUMENT", "timeZone: 'Mars' is not"),
        (A + '[deployments.b]\nmodel = "test/tiny-a"', "MODEL_ALREADY_DEPLOYED", "line 4, deployments.b.model: "),
        ("", "INVALID_FILE", "The file is empty."),
    ],
)
def test_an_invalid_file_is_1_says_where_and_applies_nothing(
    act: Command, write: Write, text: str, code: str, where: str
) -> None:
    file = write(text)
    ran = act("apply", "-f", file)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"error: {file}, ")
    assert where in ran.err
    assert f"[{code}]" in ran.err
    assert "hint: " in ran.err
    assert code == "INVALID_FILE" or "Nothing was applied." in ran.err
    assert act("--json", "apply", "-f", file).json["error"]["code"] == code
    assert act("--json", "deployments").json["deployments"] == []


def test_a_failure_in_the_middle_says_what_was_applied(tiny: Served, act: Command, write: Write) -> None:
    file = write(A + B + '[deployments.c]\nmodel = "half"\n')
    deployments = tiny.server.components.deployments
    apply = deployments.apply

    async def overtaken(declared: Any, *, dry_run: bool = False, **more: Any) -> Any:
        """Somebody else declares `b` just before it is applied."""
        if declared.name == "b" and not dry_run:
            await apply(declared)
        return await apply(declared, dry_run=dry_run, **more)

    tiny.call(lambda: setattr(deployments, "apply", overtaken))
    ran = act("--json", "apply", "-f", file)
    assert ran.code == 1
    assert "[DEPLOYMENT_CHANGED]" in ran.err
    assert "Applied: a. Not applied: b, c." in ran.err
    assert [(each["name"], each["applied"]) for each in ran.json["deployments"]] == [
        ("a", True),
        ("b", False),
        ("c", False),
    ]
    assert [each["name"] for each in act("--json", "deployments").json["deployments"]] == ["a", "b"]


def test_a_model_may_go_over_from_one_table_to_a_later_one(act: Command, write: Write) -> None:
    act("apply", "-f", write(A))
    file = write('[deployments.a]\nmodel = "tiny-b"\n[deployments.b]\nmodel = "tiny-a"\n')
    dry = act("apply", "--dry-run", "-f", file)
    assert (dry.code, "? b cannot be planned before the others are applied" in dry.out) == (2, True)
    done = act("apply", "-f", file)
    assert (done.code, done.out.splitlines()[-1]) == (2, "Applied: 1 new, 1 changed, 0 unchanged.")
    assert act("apply", "-f", file).code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["apply"], 64),
        (["apply", "-f"], 64),
        (["apply", "--frob", "-f", "d.toml"], 64),
        (["apply", "d.toml"], 64),
        (["--port", "70000", "apply", "-f", "d.toml"], 64),
        (["--token", "ümlaut", "apply", "-f", "d.toml"], 64),
        (["apply", "--json"], 64),
        (["apply", "-f", "nowhere/d.toml"], 1),
        (["apply", "-f", "."], 1),
        (["--url", "http://127.0.0.1:1", "apply", "-f", "FILE"], 69),
        (["deploy", "a"], 2),
        (["deploy", "a", "m", "--replicas", "0"], 2),
        (["deploy", "a", "m", "--window", "0 23 * * *"], 2),
        (["deploy", "a", "m", "--window", "0 0 23 * * * 7h"], 2),
        (["pause", "a", "--until", "yesterday"], 2),
        (["calendar", "--days", "0"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_exit_codes_of_the_process(start: Start, write: Write, arguments: list[str], code: int) -> None:
    file = write(A)
    ran = start(*[file if argument == "FILE" else argument for argument in arguments]).end()
    assert ran.code == code
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err


def test_exit_codes_of_the_process_with_a_server_and_stdin(tiny: Served, program: Sequence[str]) -> None:
    program = [*program, "--url", tiny.url]

    def run(*arguments: str, text: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*program, *arguments], input=text, capture_output=True, text=True, timeout=120)

    assert run("apply", "-f", "-", "--dry-run", text=A).returncode == 2
    assert run("apply", "-f", "-", text=A).returncode == 2
    assert run("apply", "-f", "-", text=A).returncode == 0
    bad = run("apply", "-f", "-", text=A + "priority = 'high'")
    assert (bad.returncode, bad.stderr.startswith("error: stdin, line 3, deployments.a.priority: ")) == (1, True)
    exported = run("deployments", "export")
    assert (exported.returncode, exported.stderr) == (0, "")
    assert run("apply", "-f", "-", text=exported.stdout).returncode == 0
    closed = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", *program, "apply", "-f", "-"], capture_output=True, text=True, timeout=120
    )
    assert (closed.returncode, "Traceback" in closed.stderr) == (1, False)


def test_what_the_server_s_file_declares_is_paused_and_resumed_and_not_changed(tmp_path: Path, write: Write) -> None:
    ours = tmp_path / "server.toml"
    ours.write_text(A)
    with served(SimulatedExo(tiny_scenario(), speed=10.0, seed=1), deployments=ours) as server:
        act = command_at(server.url)
        server.until(lambda: server.server.components.deployments.get("a"))
        assert "declared by  the deployments file" in act("deployments", "a").out
        for arguments in (["undeploy", "a"], ["deploy", "a", "tiny-b"], ["apply", "-f", write(A + "priority = 1")]):
            ran = act(*arguments)
            assert (ran.code, "[DEPLOYMENT_MANAGED_BY_FILE]" in ran.err) == (1, True)
            assert "hint: Change the file of this server." in ran.err
        assert "line 1, deployments.a: The deployments file declares 'a'" in ran.err
        assert act("apply", "-f", write(A)).code == 0, "it is as declared"
        assert act("pause", "a").code == 0
        assert act("resume", "a").code == 0


# The round trip

NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
WINDOWS = st.fixed_dictionaries(
    {"cron": TEXT, "durationMinutes": st.integers(1, 999), "timeZone": TEXT, "readyBy": st.booleans()}
)
DEPLOYMENT = st.fixed_dictionaries(
    {
        "modelId": TEXT,
        "replicas": st.integers(1, 32),
        "minNodes": st.integers(1, 9),
        "sharding": st.sampled_from(["AUTO", "PIPELINE", "TENSOR"]),
        "instanceType": st.sampled_from(["AUTO", "MLX_RING", "MLX_JACCL"]),
        "nodes": st.none() | st.lists(TEXT, min_size=1, max_size=3),
        "priority": st.integers(-1_000_000, 1_000_000),
        "schedule": st.lists(WINDOWS, max_size=3),
        "idleUnloadSeconds": st.none() | st.integers(60, 9999),
        "drainSeconds": st.integers(0, 9999),
    }
)
DEFAULTS = {
    "replicas": 1,
    "minNodes": 1,
    "sharding": "AUTO",
    "instanceType": "AUTO",
    "nodes": None,
    "priority": 0,
    "schedule": [],
    "idleUnloadSeconds": None,
    "drainSeconds": 30,
}


@given(st.dictionaries(NAMES, DEPLOYMENT, max_size=4))
def test_what_is_exported_declares_the_same(shown: dict[str, dict[str, Any]]) -> None:
    data = {"deployments": [{"name": name, **each} for name, each in shown.items()]}
    declared = {}
    for table in read(as_toml(data).encode()).tables:
        arguments = {**DEFAULTS, **table.arguments}
        arguments["modelId"] = arguments.pop("model")
        arguments["schedule"] = [{"readyBy": False, **window} for window in arguments["schedule"]]
        declared[table.name] = arguments
    assert declared == shown


# By hand


def test_a_deployment_from_deploy_to_undeploy(tiny: Served, act: Command) -> None:
    made = act("deploy", "a", "tiny-a", "--node", "node-1", "--priority", "3", "--drain-seconds", "0")
    assert (made.code, made.err) == (0, "")
    tiny.until(lambda: tiny.server.components.deployments.get("a").ready)  # type: ignore[union-attr]
    row = act("deployments").out.splitlines()[1].split()
    assert row[:4] == ["a", "READY", "tiny-a", "1/1"]
    shown = act("deployments", "a").out
    assert re.search(r"\nnodes +node-1\n", shown)
    assert re.search(r"\npriority +3\n", shown)
    paused = act("pause", "a", "--until", "8h")
    assert (paused.code, "a  PAUSED  Paused by a person." in paused.out) == (0, True)
    until = datetime.fromisoformat(act("--json", "deployments", "a").json["deployment"]["pausedUntil"])
    assert timedelta(hours=7.9) < until - datetime.now(until.tzinfo) <= timedelta(hours=8)
    assert act("resume", "a").out.startswith("a  READY")
    stale = act("deploy", "a", "tiny-a", "--if-generation", "7")
    assert (stale.code, "[DEPLOYMENT_CHANGED]" in stale.err) == (1, True)
    gone = act("undeploy", "a", "--keep")
    assert (gone.code, gone.out) == (0, "a  deleted\n")
    assert act("--json", "models", "status", "tiny-a").json["modelStatus"]["ready"], "kept"
    assert act("deployments").out == "No deployments.\n"


def test_every_argument_is_a_flag(act: Command) -> None:
    act(
        *("deploy", "a", "tiny-a", "--min-nodes", "2", "--sharding", "pipeline", "--instance-type", "mlx_ring"),
        *("--node", "node-1", "--node", "node-2", "--priority", "-1", "--idle-unload-seconds", "60"),
        *(
            "--window",
            "0 23 * * * 7h Europe/Berlin ready-by",
            "--window",
            "0 6 * * 1,2 90m UTC",
            "--drain-seconds",
            "5",
        ),
    )
    assert act("deploy", "b", "tiny-b", "--replicas", "2", "--window", "0 0 1 1 * 1d UTC", "--dry-run").code == 0
    (table,) = read(act("deployments", "export").out.encode()).tables
    assert table.arguments == {
        "model": "test/tiny-a",
        "minNodes": 2,
        "sharding": "PIPELINE",
        "instanceType": "MLX_RING",
        "nodes": ["node-1", "node-2"],
        "priority": -1,
        "schedule": [
            {"cron": "0 23 * * *", "durationMinutes": 420, "timeZone": "Europe/Berlin", "readyBy": True},
            {"cron": "0 6 * * 1,2", "durationMinutes": 90, "timeZone": "UTC"},
        ],
        "idleUnloadSeconds": 60,
        "drainSeconds": 5,
    }


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["deployments", "nobody"], "DEPLOYMENT_NOT_FOUND"),
        (["pause", "nobody"], "DEPLOYMENT_NOT_FOUND"),
        (["resume", "nobody"], "DEPLOYMENT_NOT_FOUND"),
        (["undeploy", "nobody"], "DEPLOYMENT_NOT_FOUND"),
        (["deploy", "b", "tiny-a"], "MODEL_ALREADY_DEPLOYED"),
        (["deploy", "b", "nobody"], "MODEL_NOT_FOUND"),
        (["deploy", "b", "tiny-b", "--node", "nobody"], "NODE_NOT_FOUND"),
        (["deploy", "b", "tiny-b", "--window", "0 0 31 2 * 1h"], "INVALID_ARGUMENT"),
        (["deploy", "b", "tiny-b", "--window", "0 0 1 * * 1h Mars"], "INVALID_ARGUMENT"),
        (["deploy", "b", "tiny-b", "--window", "0 0 1 * * 0m"], "INVALID_ARGUMENT"),
        (["pause", "a", "--until", "2020-01-01"], "INVALID_ARGUMENT"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_refusal_is_1_with_its_code_and_a_hint(one: Served, arguments: list[str], code: str) -> None:
    act = command_at(one.url)
    ran = act(*arguments)
    assert (ran.code, ran.out) == (1, "")
    assert f"[{code}]" in ran.err
    assert "hint: " in ran.err
    assert act("--json", *arguments).json["error"]["code"] == code


@pytest.fixture(scope="module")
def one() -> Iterator[Served]:
    """A server with a deployment `a` of tiny-a."""
    with served(SimulatedExo(tiny_scenario(), speed=10.0, seed=1)) as server:
        assert command_at(server.url)("deploy", "a", "tiny-a", "--window", "0 23 * * * 7h Europe/Berlin").code == 0
        yield server


def test_the_calendar_names_what_is_wanted(one: Served) -> None:
    act = command_at(one.url)
    entries = act("--json", "calendar", "--days", "3").json["calendar"]
    assert {name["name"] for entry in entries for name in entry["deployments"]} == {"a"}
    out = act("calendar", "--days", "3").out
    assert out.splitlines()[0].split() == ["FROM", "UNTIL", "WANTED", "CHANGES", "FITS"]
    assert len(out.splitlines()) == len(entries) + 1


@pytest.mark.parametrize("width", [24, 40, 60, 80])
@pytest.mark.parametrize(
    ("arguments", "view"),
    [
        (["deployments"], deployment_views.deployments),
        (["deployments", "a"], deployment_views.deployment),
        (["calendar"], deployment_views.calendar),
        (["deploy", "a", "tiny-a", "--dry-run"], deployment_views.deployed),
        (["pause", "a", "--until", "1h"], deployment_views.changed),
        (["apply", "--dry-run", "-f", "FILE"], deployment_views.applied),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_at_any_width_no_line_is_too_long(
    one: Served, write: Write, arguments: list[str], view: Any, width: int
) -> None:
    file = write(A + f'priority = 3\nnodes = ["node-1"]\nschedule = [{NIGHT}]\n')
    data = command_at(one.url)("--json", *[file if each == "FILE" else each for each in arguments]).json
    out = io.StringIO()
    console = Console(file=out, width=width, markup=False, highlight=False, emoji=False)
    for part in view(data, False):
        console.print(part, crop=False)
    lines = out.getvalue().splitlines()
    assert lines
    assert [line for line in lines if len(line) > width] == []


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("exo-graphql --url {url} pause ", "a"),
        ("exo-graphql --url {url} deployments ", "a"),
        ("exo-graphql --url {url} deployments e", "export"),
        ("exo-graphql unde", "undeploy"),
        ("exo-graphql --url {url} deploy b tiny", "tiny-b"),
    ],
)
def test_the_shell_completes_names_of_deployments(
    one: Served, forking_python: Sequence[str], line: str, offered: str
) -> None:
    words = line.format(url=one.url)
    place = len(words.split()) - (not words.endswith(" "))
    environment = {"_EXO_GRAPHQL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    program = (
        "import sys; from exo_graphql.cli import completion; from exo_graphql.main import main; "
        f"completion._SECONDS = {PATIENCE}; sys.argv[0] = 'exo-graphql'; main()"
    )
    done = subprocess.run(
        [*forking_python, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**environment, "LANG": "C.UTF-8"},
    )
    assert done.stderr == ""
    assert offered in done.stdout.split("\n")


# Times

ZONE = timezone(timedelta(hours=2))
NOW = datetime(2026, 11, 26, 22, 30).astimezone()


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("8h", NOW + timedelta(hours=8)),
        ("90m", NOW + timedelta(minutes=90)),
        ("2d", NOW + timedelta(days=2)),
        ("23:00", datetime(2026, 11, 26, 23, 0).astimezone()),
        ("6:00", datetime(2026, 11, 27, 6, 0).astimezone()),
        ("22:30", datetime(2026, 11, 27, 22, 30).astimezone()),
        ("2026-11-27T06:00", datetime(2026, 11, 27, 6, 0).astimezone()),
        ("2026-11-27T06:00+02:00", datetime(2026, 11, 27, 6, 0, tzinfo=ZONE)),
        ("2026-11-27T06:00Z", datetime(2026, 11, 27, 6, 0, tzinfo=timezone.utc)),  # noqa: UP017
    ],
)
def test_a_time_to_come_is_written_in_several_ways(text: str, at: datetime) -> None:
    assert times.until(text, NOW) == at


@pytest.mark.parametrize("text", ["", "soon", "8", "25:00", "8 h", "9999999d", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        times.until(text, NOW)


@pytest.mark.parametrize(
    "text", ["", "0 23 * * *", "0 23 * * * 420", "0 23 * * * 7h a b c", "0 23 * * * 7h UTC Europe/Berlin"]
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"window|two time zones"):
        times.window(text)


def test_the_json_of_an_apply_is_one_document(one: Served, write: Write) -> None:
    ran = command_at(one.url)("--json", "apply", "--dry-run", "-f", write(B))
    assert json.loads(ran.out)["dryRun"] is True
    assert ran.err == ""
