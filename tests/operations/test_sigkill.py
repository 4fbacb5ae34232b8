"""A real process that is killed, with an exo over real sockets. (`test_crash.py` simulates a kill at every moment.)"""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import uvicorn

from exo_graphql.exo.poller import Poller
from exo_graphql.simulator import SimulatedExo, parse_fault, tiny_scenario
from tests.support.own_time import OWN_TIME, Backend
from tests.support.simulated_cluster import HALF, OTHER_HALF

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]


@pytest.fixture
def anyio_backend() -> Backend:
    return OWN_TIME


@asynccontextmanager
async def _exo() -> AsyncIterator[tuple[SimulatedExo, str]]:
    sim = SimulatedExo(tiny_scenario(), speed=20.0, seed=1)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(sim.app, log_level="warning", lifespan="on"))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield sim, f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


# A fork is not the process that is started here, so it says which one is to be killed.
KILLABLE = """
import os, runpy
print(os.getpid(), flush=True)
runpy.run_module("tests.support.killable", run_name="__main__")
"""
Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
def start(forking_python: Sequence[str]) -> Start:
    """Starts a process of `killable.py`."""
    return partial(
        asyncio.create_subprocess_exec, *forking_python, "-c", KILLABLE, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )


async def _killed_at(step: str, process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        pid = int(await process.stdout.readline())
        async for line in process.stdout:
            if line.decode().strip() == f"RUNNING {step}":
                os.kill(pid, signal.SIGKILL)
                break
        assert await process.wait() == -signal.SIGKILL, f"it ended before {step}"


@pytest.mark.parametrize("step", ["memory", "place"])
async def test_a_swap_killed_at_a_step_is_finished_by_the_next_process(step: str, start: Start, tmp_path: Path) -> None:
    await _swap_through_kills(start, [step], tmp_path, fault=None, state="SUCCEEDED", serving=OTHER_HALF)


async def test_a_swap_killed_twice_while_it_rolls_back_restores_the_old_model(start: Start, tmp_path: Path) -> None:
    await _swap_through_kills(
        start,
        ["unload", "restore"],
        tmp_path,
        fault=f"load-fails:{OTHER_HALF}",
        state="ROLLED_BACK",
        serving=HALF,
    )


async def _swap_through_kills(
    start: Start, kills: list[str], tmp_path: Path, fault: str | None, state: str, serving: str
) -> None:
    journal = str(tmp_path / "journal.db")
    async with _exo() as (sim, url), asyncio.timeout(120), Poller([url]) as poller:
        assert sim.control.place(HALF) is not None
        snapshot = await poller.fresh(0.0)
        with poller.operation():  # without demand, a state is read only every 5 s
            while not snapshot.status(HALF).ready:
                snapshot = await poller.changed(snapshot)
        if fault is not None:
            sim.control.inject(parse_fault(fault))
        process = await start(url, journal, HALF, OTHER_HALF)
        await _killed_at(kills[0], process)
        for step in kills[1:]:
            await _killed_at(step, await start(url, journal))
        last = await start(url, journal)
        output, _ = await last.communicate()
        assert output.decode().split("\n")[-2].strip() == state, output.decode()
        snapshot = await poller.fresh(0.0)
        assert [instance.model_id for instance in snapshot.state.instances.values()] == [serving]
        assert snapshot.status(serving).ready
