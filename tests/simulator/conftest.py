"""A simulated exo, and the recorded answers of a real one to compare it with."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from exo_graphql.simulator import Scenario, SimulatedExo, tiny_scenario

DATA = Path(__file__).parent.parent / "data"


class Exo:
    """A simulated exo and a client of it. Time hardly passes except by `advance`, even on a busy machine."""

    def __init__(self, scenario: Scenario, speed: float = 1e-6) -> None:
        self.sim = SimulatedExo(scenario, speed, seed=7)
        self.control = self.sim.control
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.sim.app), base_url="http://exo")

    async def state(self) -> dict[str, Any]:
        document: dict[str, Any] = (await self.http.get("/state")).json()
        return document

    async def place(self, model_id: str, **params: object) -> str:
        """Place a model and wait for it to be listed; the instance's id."""
        before = set((await self.state())["instances"])
        answer = await self.http.post("/place_instance", json={"model_id": model_id, **params})
        assert answer.status_code == 200
        self.control.advance(0.1)
        (instance_id,) = set((await self.state())["instances"]) - before
        return str(instance_id)

    async def statuses(self, instance_id: str) -> list[str | None]:
        """The statuses of an instance's runners, by rank; None where none is reported."""
        document = (await self.http.get(f"/instance/{instance_id}")).json()
        runners = (await self.http.get("/state/runners")).json()
        shards = next(iter(document.values()))["shardAssignments"]["runnerToShard"]
        return [next(iter(runners.get(runner, {None: 0}))) for runner in shards]

    async def course(self, instance_id: str, seconds: float, step: float = 0.05) -> list[list[str | None]]:
        """The runners' statuses over the next seconds, each time they change."""
        seen = [await self.statuses(instance_id)]
        for _ in range(round(seconds / step)):
            self.control.advance(step)
            now = await self.statuses(instance_id)
            if now != seen[-1]:
                seen.append(now)
        return seen

    async def until(self, condition: Callable[[dict[str, Any]], object], limit: float = 120.0) -> float:
        """Advance in steps of 0.05 s until the state meets the condition; the simulated seconds it took."""
        passed = 0.0
        while not condition(await self.state()):
            assert passed < limit, "it never happened"
            self.control.advance(0.05)
            passed += 0.05
        return passed

    async def ready(self, model_id: str, **params: object) -> str:
        """Place a model and wait until all its runners are ready; the instance's id."""
        instance_id = await self.place(model_id, **params)
        for _ in range(1000):
            if set(await self.statuses(instance_id)) == {"RunnerReady"}:
                return instance_id
            self.control.advance(0.1)
        raise AssertionError("never ready")


@pytest.fixture
async def tiny() -> AsyncIterator[Exo]:
    """Two small nodes; see `tiny_scenario`."""
    exo = Exo(tiny_scenario())
    async with exo.http:
        yield exo


@pytest.fixture(scope="session")
def answers() -> dict[str, Any]:
    """The recorded answers of a real exo, by call."""
    document: dict[str, Any] = json.loads((DATA / "answers.json").read_text())
    return document
