"""Every loss is made good without a hand, nothing is placed twice, and what belongs to no deployment is not touched."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count, pairwise
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.deployments import reconciler
from exo_graphql.simulator import Fault, tiny_scenario
from tests.support.deployed_cluster import Deployed, deployed
from tests.support.simulated_cluster import ABSENT, HALF, A, B, C

pytestmark = pytest.mark.anyio


async def _holds(d: Deployed) -> list[tuple[str, str, bool]]:
    """Model, id and readiness of each instance, read off exo without any code of ours between."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(d.w.sim.app), base_url="http://exo") as exo:
        state: dict[str, Any] = (await exo.get("/state")).json()
    held = []
    for id_, document in state["instances"].items():
        (instance,) = document.values()
        assigned = instance["shardAssignments"]
        runners = [state["runners"].get(runner, {"None": {}}) for runner in assigned["runnerToShard"]]
        alive = set(assigned["nodeToRunner"]) <= set(state["topology"]["nodes"])
        held.append((assigned["modelId"], id_, alive and all({"RunnerReady"} & runner.keys() for runner in runners)))
    return sorted(held)


async def _ready_models(d: Deployed) -> list[str]:
    return [model for model, _, ready in await _holds(d) if ready]


async def _all_ready(d: Deployed, *names: str, seconds: float = 600.0) -> None:
    """Not before something was seen to be wrong, for which exo is read at the pace of a watched transition."""
    with d.w.poller.operation():
        await d.until(lambda: any(d.state(name).value != "READY" for name in names), 200)
        await d.until(lambda: all(d.state(name).value == "READY" for name in names), seconds)


async def _node_dies_and_returns(d: Deployed) -> None:
    d.w.sim.control.inject(Fault("node-dies", "node-2", at=d.w.sim.control.now, duration=15.0))


async def _node_dies_for_an_hour(d: Deployed) -> None:
    d.w.sim.control.inject(Fault("node-dies", "node-2", at=d.w.sim.control.now, duration=3600.0))


async def _master_dies(d: Deployed) -> None:
    d.w.sim.control.inject(Fault("master-dies", at=d.w.sim.control.now, duration=5.0))


async def _everything_restarts(d: Deployed) -> None:
    d.w.sim.control.restart(4.0)


async def _runner_fails(d: Deployed) -> None:
    for model, id_, _ in await _holds(d):
        if model == A:
            d.w.sim.control.crash(id_)


async def _exo_hangs_and_the_master_dies(d: Deployed) -> None:
    d.w.sim.control.inject(Fault("hang", at=d.w.sim.control.now, duration=12.0))
    d.w.sim.control.inject(Fault("master-dies", at=d.w.sim.control.now + 3, duration=5.0))


async def _exo_answers_garbage_and_restarts(d: Deployed) -> None:
    d.w.sim.control.inject(Fault("garbage", at=d.w.sim.control.now, duration=20.0))
    d.w.sim.control.restart(4.0)


LOSSES = {
    loss.__name__.removeprefix("_"): loss
    for loss in (
        _node_dies_and_returns,
        _node_dies_for_an_hour,
        _master_dies,
        _everything_restarts,
        _runner_fails,
        _exo_hangs_and_the_master_dies,
        _exo_answers_garbage_and_restarts,
    )
}


def _untrue(d: Deployed, snapshot: Snapshot) -> list[str]:
    """What is called ready, and is not in the snapshot that an answer would show beside it."""
    return [
        f"{each.deployment.name} at {d.w.sim.control.now:.1f}"
        for each in d.deployments.all()
        if each.state.value == "READY" and not snapshot.status(each.deployment.spec.model_id).ready
    ]


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
async def test_every_deployment_is_ready_again(loss: Callable[[Deployed], Awaitable[None]]) -> None:
    async with deployed(tiny_scenario(3)) as d:
        await d.applied("a", A, min_nodes=2)
        await d.applied("b", B)
        await d.until(lambda: d.state("a").value == d.state("b").value == "READY", 120)
        creations = d.creations
        untrue: list[str] = []
        with d.w.poller.listen(lambda snapshot: untrue.extend(_untrue(d, snapshot))):
            await loss(d)
            await _all_ready(d, "a", "b", seconds=300)
        assert untrue == []
        await d.w.until(lambda snapshot: not snapshot.stale, 60)
        assert await _ready_models(d) == [A, B]
        listed = [model for model, _, _ in await _holds(d)]
        assert listed == [A, B]
        assert d.creations - creations <= 2 + 2  # a command that an election swallows is sent again


async def test_what_is_lost_is_not_ready_though_comparisons_take_long() -> None:
    """They are made less often then, but not where the last one would contradict the snapshot beside it."""
    seconds = count()
    with patch.object(reconciler, "time", SimpleNamespace(thread_time=lambda: float(next(seconds)))):
        async with deployed(tiny_scenario(3)) as d:
            await d.applied("a", A, min_nodes=2)
            await d.until(lambda: d.state("a").value == "READY", 120)
            untrue: list[str] = []
            with d.w.poller.listen(lambda snapshot: untrue.extend(_untrue(d, snapshot))):
                await _node_dies_and_returns(d)
                await _all_ready(d, "a")
            assert untrue == []


async def test_what_somebody_else_loaded_stays_as_it_is() -> None:
    async with deployed(tiny_scenario(3)) as d:
        await d.w.given(C)
        ((_, theirs, _),) = await _holds(d)
        await d.applied("a", A, min_nodes=2)
        await d.until_state("a", "READY", 120)
        await _runner_fails(d)
        await _all_ready(d, "a")
        assert theirs in [id_ for model, id_, _ in await _holds(d) if model == C]


async def test_a_pinned_model_waits_for_its_node_and_is_back_with_it() -> None:
    async with deployed(tiny_scenario(3)) as d:
        await d.applied("a", A, nodes=["node-2"])
        await d.until_state("a", "READY", 120)
        d.w.sim.control.inject(Fault("node-dies", "node-2", at=d.w.sim.control.now, duration=120.0))
        await d.until_state("a", "UNSATISFIABLE", 120)
        assert "node-2" in d.assessment("a").reason
        await d.until_state("a", "READY", 300)
        snapshot = await d.w.snapshot()
        (instance,) = snapshot.instances_of(A)
        assert [snapshot.state.nodes[s.node_id or ""].friendly_name for s in instance.shards] == ["node-2"]


async def test_what_needs_a_node_that_stays_away_is_unsatisfiable_and_costs_exo_nothing() -> None:
    async with deployed() as d:
        await d.applied("half", HALF)
        await d.until_state("half", "READY", 120)
        d.w.sim.control.inject(Fault("node-dies", "node-2", at=d.w.sim.control.now, duration=900.0))
        await d.until_state("half", "UNSATISFIABLE", 120)
        creations = d.creations
        await d.until_state("half", "READY", 1200)
        assert d.creations == creations + 1


async def test_a_model_that_cannot_be_loaded_is_tried_ever_more_rarely() -> None:
    async with deployed() as d:
        d.w.fault(f"load-fails:{A}")
        await d.applied("a", A)
        await d.until_state("a", "RETRYING", 300)
        assert d.assessment("a").deployment.last_failure is not None
        await asyncio.sleep(3600 - d.w.sim.control.now)
        # exo gives each some minute; the pauses are 10, 30, 90, 270, 900, 900, ... seconds
        assert 5 <= d.creations <= 9
        d.w.sim.control.clear()
        await d.until_state("a", "READY", 1200)


async def test_weights_that_cannot_be_fetched_are_tried_again() -> None:
    async with deployed() as d:
        d.w.fault(f"download-fails:{ABSENT}")
        await d.applied("absent", ABSENT)
        await d.until_state("absent", "RETRYING", 300)
        d.w.sim.control.clear()
        await d.until_state("absent", "READY", 1500)
        assert await _ready_models(d) == [ABSENT]


async def test_an_instance_that_somebody_deletes_pauses_its_deployment() -> None:
    async with deployed(tiny_scenario(3)) as d:
        await d.applied("a", A)
        await d.until_state("a", "READY", 60)
        ((_, id_, _),) = await _holds(d)
        d.w.sim.control.delete_instance(id_)
        await d.until_state("a", "PAUSED", 30)
        assert "deleted" in d.assessment("a").reason
        await d.w.until(lambda _: d.w.sim.control.now > 300, 400)
        assert await _holds(d) == []
        await d.deployments.resume("a")
        await d.until_state("a", "READY", 60)


async def test_nothing_that_a_node_replays_is_believed() -> None:
    """The node that is read has just joined: for a minute it shows the model on a node that has another id now."""
    async with deployed(tiny_scenario(3)) as d:
        control, instances = d.w.sim.control, d.w.sim._simulation.instances
        control.inject(Fault("node-dies", "node-2", at=control.now + 60, duration=130.0))
        control.inject(Fault("replays", at=control.now + 196, duration=60.0))
        await d.applied("a", A, nodes=["node-2", "node-3"], min_nodes=2)
        await d.until_state("a", "READY", 50)
        untrue: list[str] = []

        def check(snapshot: Snapshot) -> None:
            really = any(each.phase == "ready" for each in instances.all.values())
            if d.state("a").value == "READY" and not really and control.now > 120:
                untrue.append(f"{control.now:.1f}: {d.assessment('a').reason}")

        with d.w.poller.listen(check), d.w.poller.subscriber():
            await d.w.until(lambda snapshot: control.now > 200 and snapshot.stale, 300)
            assert "out of date" in d.assessment("a").reason
            await d.w.until(lambda _: control.now > 254, 100)
            assert d.creations == 1
            await d.until_state("a", "READY", 60)
        assert untrue == []
        assert d.creations == 2
        assert [each.phase for each in instances.all.values()] == ["ready"]


async def test_a_model_that_becomes_ready_and_fails_again_at_once_is_tried_ever_more_rarely() -> None:
    async with deployed() as d:
        await d.applied("a", A)
        begun: list[float] = []
        for _ in range(5):
            await d.until_state("a", "READY", 400)
            begun.append(d.w.sim.control.now)
            # Its operation has succeeded. The runner fails a moment later, and exo gives up on it.
            ((_, id_, _),) = await _holds(d)
            d.w.sim.control.crash(id_)
            await d.w.until(lambda snapshot: not snapshot.status(A).ready, 30)
            d.w.sim.control.delete_instance(id_)
            await d.until_state("a", "RETRYING", 30)
        pauses = [later - earlier for earlier, later in pairwise(begun)]
        # 10, 30, 90 and 270 seconds, less a tenth, and some for the load.
        assert d.creations == 5
        assert all(pause > least for pause, least in zip(pauses, (9, 27, 81, 243), strict=True)), pauses
