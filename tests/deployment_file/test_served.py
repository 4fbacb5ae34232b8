"""`serve --deployments FILE` in a process of its own: what the file says holds, and when it says something else."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from typer.testing import CliRunner

from exo_graphql.program import app
from exo_graphql.simulator.scenario import READY_MODEL
from tests.cli.conftest import PROGRAM
from tests.support.process import free_port, served

pytestmark = pytest.mark.anyio

SMALL = "Llama-3.2-1B-Instruct-4bit"
FIELDS = "name modelId priority managedBy generation state pausedBecause"
T = TypeVar("T")


def table(name: str, model: str, more: str = "") -> str:
    return f'[deployments.{name}]\nmodel = "{model}"\n{more}\n'


@asynccontextmanager
async def server(folder: Path, *arguments: str, exo_url: str | None = None) -> AsyncIterator["Server"]:
    """The server over its demo, or over an exo, with the store of `folder`."""
    async with served(folder / "state", free_port(), *arguments, exo_url=exo_url, seconds=120) as (process, where):
        assert process.stderr is not None
        log: list[str] = []

        async def read() -> None:
            log.extend([line.decode() async for line in process.stderr])  # type: ignore[union-attr]  # see above

        reading = asyncio.create_task(read())
        async with httpx.AsyncClient(base_url=f"http://{where.partition('/')[0]}") as client:
            yield Server(client, log)
        process.terminate()
        assert await process.wait() == 0, log
        await reading


class Server:
    """A running one."""

    def __init__(self, client: httpx.AsyncClient, log: list[str]) -> None:
        self.client = client
        self.log = log

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
        await asyncio.sleep(0.1)
        return await look()

    async def reasons(self) -> list[str]:
        reasons: list[str] = (await self.ask("{ cluster { unhealthyReasons } }"))["cluster"]["unhealthyReasons"]
        return [reason for reason in reasons if "deployments file" in reason]

    async def valid(self) -> bool:
        metrics = (await self.client.get("/metrics")).text
        return "exo_graphql_deployments_file_valid 1.0" in metrics


async def test_the_file_is_read_again_when_it_changes_and_refused_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "d.toml"
    file.write_text(table("a", READY_MODEL))
    async with server(tmp_path, "--demo-speed", "20", "--deployments", str(file)) as running:
        found = await running.until(lambda d: d.get("a", {}).get("state") == "READY")
        assert found["a"]["managedBy"] == "FILE"
        # Another priority, and another deployment.
        file.write_text(table("a", READY_MODEL, "priority = 3") + table("b", SMALL))
        found = await running.until(lambda d: "b" in d)
        assert (found["a"]["priority"], found["a"]["generation"]) == (3, 2)
        # Two faults: a key, then a model. Neither the good half nor the bad one is applied.
        for bad, line, said in (
            (table("a", READY_MODEL, "priority = 4") + table("b", SMALL, "min_nodes = 2"), 6, "Write minNodes."),
            (table("a", READY_MODEL, "priority = 4") + table("b", "nobody"), 5, "nobody"),
        ):
            file.write_text(bad)
            assert f"line {line}, deployments.b" in await running.until_refused(said)
            assert not await running.valid()
            found = await running.deployments()
            assert (found["a"]["priority"], found["b"]["modelId"].rsplit("/")[-1]) == (3, SMALL)
        # The file is away for good.
        file.unlink()
        await running.until_refused("is not a file")
        assert (await running.deployments()).keys() == {"a", "b"}
        # Valid again, and without `b`: which is paused and the API's, and stays.
        file.write_text(table("a", READY_MODEL, "priority = 3"))
        found = await running.until(lambda d: d["b"]["state"] == "PAUSED")
        assert found["b"]["managedBy"] == "API"
        assert found["b"]["pausedBecause"] == "It is not declared in d.toml any more."
        assert (found["a"]["state"], found["a"]["generation"]) == ("READY", 2)
        assert await running.reasons() == []
        assert await running.valid()
    refused = [line for line in running.log if "was refused" in line]
    assert len(refused) == 3, "each reason is logged once"


async def test_what_the_file_declares_the_api_pauses_and_does_not_change_and_a_restart_keeps_it(tmp_path: Path) -> None:
    file = tmp_path / "d.toml"
    file.write_text(table("a", READY_MODEL))
    # The demo keeps nothing in a file, so a restart is one over a simulated exo of its own.
    port = free_port()
    exo = await asyncio.create_subprocess_exec(
        *PROGRAM, "simulate", "--port", str(port), "--speed", "20", stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        async with server(tmp_path, "--deployments", str(file), exo_url=url) as running:
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
        async with server(tmp_path, "--deployments", str(file), exo_url=url) as running:
            found = await running.until(lambda d: "a" in d)
            assert (found["a"]["state"], found["a"]["managedBy"]) == ("PAUSED", "FILE")
            assert (found["a"]["pausedBecause"], found["a"]["generation"]) == ("Paused by a person.", 1)
        async with server(tmp_path, exo_url=url) as running:
            found = await running.until(lambda d: "a" in d)
            assert (found["a"]["state"], found["a"]["managedBy"]) == ("PAUSED", "API")
            assert found["a"]["pausedBecause"] == "There is no deployments file any more."
        async with server(tmp_path, "--deployments", str(file), exo_url=url) as running:
            found = await running.until(lambda d: d.get("a", {}).get("managedBy") == "FILE")
            await running.until(lambda d: d["a"]["state"] == "READY", 40)
    finally:
        exo.terminate()
        await exo.wait()


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
        ("", "The file is empty."),
        (None, "is not a file"),
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


def test_a_process_that_is_given_an_invalid_file_exits(tmp_path: Path) -> None:
    command = [*PROGRAM, "serve", "--demo", "--port", "0", "--deployments", str(tmp_path / "absent.toml")]
    started = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (started.returncode, started.stdout) == (2, "")
    assert "is not a file" in started.stderr
    assert "Traceback" not in started.stderr
