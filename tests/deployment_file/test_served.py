"""`serve --deployments FILE`: what the file says holds, and when it says something else."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from typer.testing import CliRunner

from exo_graphql.deployments import file as file_watch
from exo_graphql.program import app
from exo_graphql.simulator import SimulatedExo, default_scenario
from exo_graphql.simulator.scenario import READY_MODEL
from tests.cli.conftest import MAIN
from tests.support.replay import Upstream
from tests.support.running import PATIENCE, running

pytestmark = pytest.mark.anyio

SMALL = "Llama-3.2-1B-Instruct-4bit"
FIELDS = "name modelId priority managedBy generation state pausedBecause"
T = TypeVar("T")


def write(file: Path, text: str) -> None:
    """All at once: the file is read so often here that half of it could be seen twice."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def table(name: str, model: str, more: str = "") -> str:
    return f'[deployments.{name}]\nmodel = "{model}"\n{more}\n'


# The simulated exo runs 20 times as fast as a real one, so its state is read as much more often.
EAGER = {"memory_seconds": 1.0, "max_age": 0.0, "normal_pause": 0.1, "idle_pause": 0.2, "fast_pause": 0.02}


@pytest.fixture(autouse=True)
def read_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is read as much more often, too."""
    monkeypatch.setattr(file_watch, "POLL_SECONDS", 0.05)


@asynccontextmanager
async def server(file: Path | None, exo: SimulatedExo | None = None, **given: Any) -> AsyncIterator["Server"]:
    """The server over its demo, or with `exo_url` over an exo, with what the file declares."""
    async with (
        running(exo, demo="exo_url" not in given, deployments=file, normal_share=0.5, **EAGER, **given) as made,
        httpx.AsyncClient(base_url=made.url.removesuffix("/graphql"), trust_env=False) as client,
    ):
        yield Server(client)


class Server:
    """A running one."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def ask(self, query: str) -> Any:
        answer = (await self.client.post("/graphql", json={"query": query})).json()
        assert "errors" not in answer, answer
        return answer["data"]

    async def deployments(self) -> dict[str, Any]:
        return {each["name"]: each for each in (await self.ask(f"{{ deployments {{ {FIELDS} }} }}"))["deployments"]}

    async def until(self, holds: Callable[[dict[str, Any]], object], seconds: float = 30.0) -> dict[str, Any]:
        """The deployments once it holds: nothing but the answer shows that the file was read."""
        found = await self.deployments()
        async with asyncio.timeout(seconds):
            while not holds(found):
                found = await self._later(self.deployments)
        return found

    async def until_refused(self, said: str, seconds: float = 30.0) -> str:
        """The reason once it holds these words."""
        reasons = await self.reasons()
        async with asyncio.timeout(seconds):
            while not any(said in reason for reason in reasons):
                reasons = await self._later(self.reasons)
        return reasons[0]

    async def _later(self, look: Callable[[], Awaitable[T]]) -> T:
        await asyncio.sleep(0.02)
        return await look()

    async def reasons(self) -> list[str]:
        reasons: list[str] = (await self.ask("{ cluster { unhealthyReasons } }"))["cluster"]["unhealthyReasons"]
        return [reason for reason in reasons if "deployments file" in reason]

    async def valid(self) -> bool:
        metrics = (await self.client.get("/metrics")).text
        return "exo_graphql_deployments_file_valid 1.0" in metrics


async def test_the_file_is_read_again_when_it_changes_and_refused_as_a_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "d.toml"
    write(file, table("a", READY_MODEL))
    async with server(file, SimulatedExo(default_scenario(), speed=20, seed=1)) as running:
        found = await running.until(lambda d: d.get("a", {}).get("state") == "READY")
        assert found["a"]["managedBy"] == "FILE"
        # Another priority, and another deployment.
        write(file, table("a", READY_MODEL, "priority = 3") + table("b", SMALL))
        found = await running.until(lambda d: "b" in d)
        assert (found["a"]["priority"], found["a"]["generation"]) == (3, 2)
        # Two faults: a key, then a model. Neither the good half nor the bad one is applied.
        for bad, line, said in (
            (table("a", READY_MODEL, "priority = 4") + table("b", SMALL, "min_nodes = 2"), 6, "Write minNodes."),
            (table("a", READY_MODEL, "priority = 4") + table("b", "nobody"), 5, "nobody"),
        ):
            write(file, bad)
            assert f"line {line}, deployments.b" in await running.until_refused(said)
            assert not await running.valid()
            found = await running.deployments()
            assert (found["a"]["priority"], found["b"]["modelId"].rsplit("/")[-1]) == (3, SMALL)
        # The file is away for good.
        file.unlink()
        await running.until_refused("is not a file")
        assert (await running.deployments()).keys() == {"a", "b"}
        # Valid again, and without `b`: which is paused and the API's, and stays.
        write(file, table("a", READY_MODEL, "priority = 3"))
        found = await running.until(lambda d: d["b"]["state"] == "PAUSED")
        assert found["b"]["managedBy"] == "API"
        assert found["b"]["pausedBecause"] == "It is not declared in d.toml any more."
        assert (found["a"]["state"], found["a"]["generation"]) == ("READY", 2)
        assert await running.reasons() == []
        assert await running.valid()
    refused = [line for line in caplog.messages if "was refused" in line]
    assert len(refused) == len(set(refused)), "each reason is logged once"
    # Which names are used in the cluster, as a suggestion, may change while the fault stays.
    assert len({line.partition(" Used here: ")[0] for line in refused}) == 3


@asynccontextmanager
async def over_one_exo(folder: Path) -> AsyncIterator[Callable[[Path | None], AbstractAsyncContextManager[Server]]]:
    """Starts servers one after the other, with one store. The demo keeps nothing in a file, so it is no demo."""
    async with SimulatedExo(default_scenario(), speed=20, seed=1) as exo:
        upstream = Upstream(exo.app)  # type: ignore[arg-type]  # any ASGI application
        await upstream.start()
        try:
            url = f"http://127.0.0.1:{upstream.port}"
            yield lambda file: server(file, exo_url=(url,), state_dir=folder / "state")
        finally:
            await upstream.stop()


async def test_what_the_file_declares_the_api_pauses_and_does_not_change_and_a_restart_keeps_it(tmp_path: Path) -> None:
    file = tmp_path / "d.toml"
    file.write_text(table("a", READY_MODEL))
    async with over_one_exo(tmp_path) as started:
        async with started(file) as running:
            await running.until(lambda d: d.get("a", {}).get("state") == "READY", 40)
            error = "error { code suggestion }"
            change = f'applyDeployment(name: "a", model: "{READY_MODEL}", priority: 9) {{ {error} }}'
            refused = await running.ask(f'mutation {{ {change} deleteDeployment(name: "a") {{ {error} }} }}')
            for payload in refused.values():
                assert payload["error"]["code"] == "DEPLOYMENT_MANAGED_BY_FILE"
                assert payload["error"]["suggestion"]
            same = f'applyDeployment(name: "a", model: "{READY_MODEL}") {{ changes {{ argument }} {error} }}'
            assert (await running.ask(f"mutation {{ {same} }}"))["applyDeployment"] == {"changes": [], "error": None}
            await running.ask('mutation { pauseDeployment(name: "a") { deployment { state } } }')
        async with started(file) as running:
            found = await running.until(lambda d: "a" in d)
            assert (found["a"]["state"], found["a"]["managedBy"]) == ("PAUSED", "FILE")
            assert (found["a"]["pausedBecause"], found["a"]["generation"]) == ("Paused by a person.", 1)
        async with started(None) as running:
            found = await running.until(lambda d: "a" in d)
            assert (found["a"]["state"], found["a"]["managedBy"]) == ("PAUSED", "API")
            assert found["a"]["pausedBecause"] == "There is no deployments file any more."
        async with started(file) as running:
            found = await running.until(lambda d: d.get("a", {}).get("managedBy") == "FILE")
            await running.until(lambda d: d["a"]["state"] == "READY", 40)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (table("a", "m", "shedule = []"), "line 3, deployments.a.shedule: There is no such key. Write schedule."),
        (
            table("a", "m", 'schedule = [{cron = "0 0 31 2 *", durationMinutes = 1}]'),
            "line 3, deployments.a.schedule[0]",
        ),
        (table("a", "m", 'schedule = [{cron = "0 0 0 1 1 *", durationMinutes = 1}]'), "has 6 fields, not five"),
        (
            table("a", "m", 'schedule = [{cron = "0 0 * * *", durationMinutes = 0}]'),
            "durationMinutes: A window cannot be open for 0",
        ),
        (
            table(
                "a",
                "m",
                'schedule = [\n{cron = "0 0 * * *", durationMinutes = 1},\n'
                '{cron = "0 0 * * *", durationMinutes = 1, timeZone = "Mars"},\n]',
            ),
            "line 5, deployments.a.schedule[1].timeZone: 'Mars' is not a time zone.",
        ),
        (table("a", "m") + table("a", "n"), "line 4, deployments.a: This is declared twice."),
        (table('"-"', "m"), "line 1, deployments.-: A deployment's name has 1 to 63 letters"),
        (table("a", "m", "minNodes = 0"), "line 3, deployments.a.minNodes"),
        (table("a", "m", "idleUnloadSeconds = 59"), "line 3, deployments.a.idleUnloadSeconds"),
        ("", "d.toml: The file is empty."),
        (None, "d.toml: It is not a file."),
    ],
)
def test_at_the_start_an_invalid_file_is_an_error_that_names_line_and_key(
    tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "d.toml"
    if text is not None:
        file.write_text(text)
    # In process: each start of a server that is not to be takes a second. The command's own process is tested below.
    started = CliRunner().invoke(app, ["serve", "--demo", "--port", "0", "--deployments", str(file)])
    assert (started.exit_code, started.stdout) == (2, "")
    assert said in started.stderr
    assert str(file) in started.stderr
    assert "Traceback" not in started.stderr


@pytest.fixture
def command(forking_python: Sequence[str]) -> Sequence[str]:
    """`serve` in a process of its own."""
    return *forking_python, "-c", MAIN, "serve", "--demo", "--port", "0", "--deployments"


def test_a_process_that_is_given_an_invalid_file_exits(command: Sequence[str], tmp_path: Path) -> None:
    started = subprocess.run([*command, str(tmp_path / "absent.toml")], capture_output=True, text=True, timeout=120)
    assert (started.returncode, started.stdout) == (2, "")
    assert "is not a file" in started.stderr
    assert "Traceback" not in started.stderr


def test_a_process_declares_what_its_file_says(command: Sequence[str], tmp_path: Path) -> None:
    file = tmp_path / "d.toml"
    file.write_text(table("a", READY_MODEL))
    with subprocess.Popen([*command, str(file)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = ""
            while (url := re.search(r"http://127\.0\.0\.1:\d+", said)) is None or "d.toml: " not in said:
                line = process.stderr.readline()
                assert line, said
                said += line
            query = {"query": f"{{ deployments {{ {FIELDS} }} }}"}
            answer = httpx.post(f"{url[0]}/graphql", json=query, trust_env=False, timeout=PATIENCE)
            (found,) = answer.json()["data"]["deployments"]
            process.terminate()
            assert "Traceback" not in said + process.stderr.read()
            process.wait(PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0
    assert (found["name"], found["managedBy"]) == ("a", "FILE")
