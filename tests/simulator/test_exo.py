"""The simulated exo as a whole: its own time, its cost, and served by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest
import uvicorn

from exo_graphql.simulator import SimulatedExo, default_scenario, tiny_scenario
from tests.simulator.conftest import Exo

pytestmark = pytest.mark.anyio


async def _eventually(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.01)


async def test_a_tiny_model_is_ready_within_a_second_at_speed_20() -> None:
    exo = Exo(tiny_scenario(), speed=20)
    async with exo.sim, exo.http:
        await exo.http.post("/place_instance", json={"model_id": "test/tiny-a"})

        async def ready() -> bool:
            return any("RunnerReady" in one for one in (await exo.state())["runners"].values())

        await _eventually(ready, 1.0)


async def test_it_runs_again_after_it_was_stopped() -> None:
    exo = Exo(tiny_scenario(), speed=20)
    async with exo.http:
        for _ in range(2):
            async with exo.sim:
                assert (await exo.http.get("/state")).status_code == 200


async def test_the_default_state_is_encoded_in_a_few_milliseconds() -> None:
    exo = Exo(default_scenario())
    async with exo.http:
        await exo.http.get("/state")
        took = []
        for _ in range(20):
            exo.control.advance(1.0)
            began = time.process_time()  # what others take of the machine says nothing about this
            body = (await exo.http.get("/state")).content
            took.append(time.process_time() - began)
    assert len(body) > 400_000
    assert min(took) < 0.008


async def test_an_idle_simulation_costs_next_to_nothing() -> None:
    async with SimulatedExo(default_scenario()):
        await asyncio.sleep(0)
        began_cpu, began = time.process_time(), time.perf_counter()
        await asyncio.sleep(1.0)
        share = (time.process_time() - began_cpu) / (time.perf_counter() - began)
    assert share < 0.1  # some 0.5 % measured; the rest is for a loaded machine


async def test_it_can_be_served_by_itself() -> None:
    sim = SimulatedExo(tiny_scenario(), speed=20)
    server = uvicorn.Server(uvicorn.Config(sim.app, port=0, log_level="error", ws="none"))
    serving = asyncio.create_task(server.serve())
    try:

        async def started() -> bool:
            return server.started

        await _eventually(started, 10)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/node_id")).json() == sim.control.node_id("node-1")
            began = sim.control.now
            await client.post("/place_instance", json={"model_id": "test/tiny-a"})

            async def listed() -> bool:
                return bool((await client.get("/state/instances")).json())

            await _eventually(listed, 5)
            assert sim.control.now > began
            sim.control.drop_connections = True
            assert (await client.get("/state")).status_code == 503
    finally:
        server.should_exit = True
        await serving
