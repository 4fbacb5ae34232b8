"""Deployments through GraphQL, on a whole server over the simulated exo."""

import asyncio
from typing import Any

import httpx
import pytest

from exo_graphql.cluster.state import InstanceType, Sharding
from exo_graphql.cluster.upstream import PlacementPreview
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.support.running import A, B, Running, running, until

pytestmark = pytest.mark.anyio


def _exo() -> SimulatedExo:
    """Ten times as fast as a real exo, because the tests mostly wait for it."""
    return SimulatedExo(tiny_scenario(), speed=10, seed=1)


async def _ask(server: Running, query: str) -> Any:
    async with httpx.AsyncClient() as client:
        answer = (await client.post(server.url, json={"query": query})).json()
    assert "errors" not in answer, answer
    return answer["data"]


async def _is(server: Running, name: str, state: str, seconds: float = 30.0) -> Any:
    """The deployment once it is in that state."""
    kept = server.components.deployments
    changed = asyncio.Event()
    stop = kept.listen(changed.set)
    try:
        async with asyncio.timeout(seconds):
            while (found := kept.get(name)) is None or found.state.value != state:
                changed.clear()
                await changed.wait()
    finally:
        stop()
    fields = "name state reason ready readyReplicas instances { model { id } } operation { id } changedAt generation"
    return (await _ask(server, f'{{ deployment(name: "{name}") {{ {fields} }} }}'))["deployment"]


async def test_a_deployment_from_its_dry_run_to_its_deletion() -> None:
    async with running(_exo()) as server:
        plan = "plan { fits reason loads { id } unloads { id } nodes { friendlyName } steps loadFirst neededGb }"
        apply = f'applyDeployment(name: "a", model: "tiny-a", dryRun: %s) {{ deployment {{ name }} {plan} }}'
        dry = await _ask(server, f"mutation {{ {apply % 'true'} }}")
        assert dry["applyDeployment"]["deployment"] is None
        assert dry["applyDeployment"]["plan"]["fits"]
        assert dry["applyDeployment"]["plan"]["loads"] == [{"id": A}]
        assert (await _ask(server, "{ deployments { name } }"))["deployments"] == []
        await _ask(server, f"mutation {{ {apply % 'false'} }}")
        ready = await _is(server, "a", "READY")
        assert ready["instances"] == [{"model": {"id": A}}]
        assert ready["readyReplicas"] == ready["generation"] == 1
        async with httpx.AsyncClient() as client:
            metrics = (await client.get(server.url.replace("/graphql", "/metrics"))).text
        assert 'exo_graphql_deployment_ready{deployment="a"} 1.0' in metrics
        assert 'exo_graphql_deployment_attempts_total{deployment="a"} 1.0' in metrics
        deleted = await _ask(server, 'mutation { deleteDeployment(name: "a") { deployment { name } error { code } } }')
        assert deleted["deleteDeployment"] == {"deployment": {"name": "a"}, "error": None}
        assert (await _ask(server, '{ deployment(name: "a") { name } }'))["deployment"] is None


async def test_a_dry_run_reports_what_exo_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own search, which asks exo nothing, finds a place, but the operation would be rejected."""
    async with running(_exo()) as server:

        async def refuses(*_: object) -> tuple[PlacementPreview, ...]:
            return (PlacementPreview(Sharding.PIPELINE, InstanceType.MLX_RING, None, "exo cannot shard it today."),)

        monkeypatch.setattr(server.components.poller, "previews", refuses)
        fields = "plan { fits reason loads { id } nodes { id } steps }"
        arguments = 'name: "a", model: "tiny-a", sharding: PIPELINE, instanceType: MLX_RING, dryRun: true'
        answer = await _ask(server, f"mutation {{ applyDeployment({arguments}) {{ {fields} }} }}")
        plan = answer["applyDeployment"]["plan"]
        assert not plan["fits"]
        assert "exo cannot shard it today." in plan["reason"]
        assert (plan["loads"], plan["nodes"], plan["steps"]) == ([{"id": A}], [], [])


@pytest.mark.parametrize(
    ("arguments", "code", "argument"),
    [
        ('model: "nobody"', "MODEL_NOT_FOUND", None),
        ('model: "tiny-a", nodes: ["nobody"]', "NODE_NOT_FOUND", None),
        ('model: "tiny-a", schedule: [{cron: "0 0 31 2 *", durationMinutes: 60}]', "INVALID_ARGUMENT", "cron"),
        ('model: "tiny-a", schedule: [{cron: "0 0 1 1 * *", durationMinutes: 60}]', "INVALID_ARGUMENT", "cron"),
        ('model: "tiny-a", schedule: [{cron: "0 0 * * *", durationMinutes: 0}]', "INVALID_ARGUMENT", "durationMinutes"),
        (
            'model: "tiny-a", schedule: [{cron: "0 0 * * *", durationMinutes: 60, timeZone: "Mars"}]',
            "INVALID_ARGUMENT",
            "timeZone",
        ),
        ('model: "tiny-a", replicas: 0', "INVALID_ARGUMENT", "replicas"),
        ('model: "tiny-a", replicas: 2, nodes: ["node-1"]', "INVALID_ARGUMENT", "replicas"),
        ('model: "tiny-a", minNodes: 0', "INVALID_ARGUMENT", "minNodes"),
        ('model: "tiny-a", idleUnloadSeconds: 59', "INVALID_ARGUMENT", "idleUnloadSeconds"),
        ('model: "tiny-a", drainSeconds: -1', "INVALID_ARGUMENT", "drainSeconds"),
        ('model: "tiny-a", ifGeneration: 3', "DEPLOYMENT_CHANGED", None),
        ('model: "tiny-b"', "MODEL_ALREADY_DEPLOYED", None),
    ],
)
async def test_an_invalid_deployment_is_rejected_with_a_code(arguments: str, code: str, argument: str | None) -> None:
    async with running(_exo()) as server:
        await _ask(server, f'mutation {{ applyDeployment(name: "b", model: "{B}") {{ deployment {{ name }} }} }}')
        fields = "deployment { name } error { code message suggestion ... on InvalidArgument { argument } }"
        answer = await _ask(server, f'mutation {{ applyDeployment(name: "a", {arguments}) {{ {fields} }} }}')
        error = answer["applyDeployment"]["error"]
        assert error["code"] == code
        assert error.get("argument") == argument
        assert error["suggestion"]
        assert answer["applyDeployment"]["deployment"] is None


async def test_the_same_spec_changes_nothing_and_another_one_is_a_new_generation() -> None:
    async with running(_exo()) as server:
        apply = (
            'mutation {{ applyDeployment(name: "a", model: "tiny-a"{}) {{ deployment {{ generation priority }} }} }}'
        )
        same = (", ifGeneration: 0", 1), ("", 1)
        for more, generation in (*same, (", priority: 3", 2), (", priority: 3, ifGeneration: 2", 2)):
            answer = await _ask(server, apply.format(more))
            assert answer["applyDeployment"]["deployment"]["generation"] == generation


async def test_a_mutation_lists_the_deployments_that_it_has_paused() -> None:
    async with running(_exo()) as server:
        await _ask(server, 'mutation { applyDeployment(name: "a", model: "tiny-a") { deployment { name } } }')
        await _is(server, "a", "READY")
        paused = "paused { name state pausedBecause }"
        answer = await _ask(server, f'mutation {{ unloadModel(model: "tiny-a") {{ operation {{ id }} {paused} }} }}')
        assert answer["unloadModel"]["paused"] == [
            {"name": "a", "state": "PAUSED", "pausedBecause": "A person unloaded its model."}
        ]
        load = await _ask(server, f'mutation {{ loadModel(model: "tiny-b") {{ {paused} }} }}')
        assert load["loadModel"]["paused"] == []
        await _ask(server, 'mutation { resumeDeployment(name: "a") { deployment { state } error { code } } }')
        await _is(server, "a", "READY")
        gone = await _ask(server, 'mutation { pauseDeployment(name: "z") { error { code } } }')
        assert gone["pauseDeployment"]["error"]["code"] == "DEPLOYMENT_NOT_FOUND"


async def test_deployments_are_pushed_when_they_change() -> None:
    async with running(_exo()) as server, server.socket() as socket:
        id_ = await socket.subscribe("subscription { deployments { name state } }")
        assert await socket.data(id_) == {"deployments": []}
        await _ask(server, 'mutation { applyDeployment(name: "a", model: "tiny-a") { deployment { name } } }')
        states: list[str] = []
        while not states or states[-1] != "READY":
            states += [each["state"] for each in (await socket.data(id_, 30))["deployments"]]
        assert "PROGRESSING" in states


async def test_a_deployment_that_stays_unready_makes_the_cluster_unhealthy() -> None:
    async with running(_exo()) as server:
        await _ask(server, 'mutation { applyDeployment(name: "huge", model: "test/huge") { deployment { name } } }')
        await _is(server, "huge", "UNSATISFIABLE")
        healthy = "{ cluster { healthy unhealthyReasons } }"
        # Only after a minute, which `tests/deployments/test_health.py` simulates.
        assert (await _ask(server, healthy))["cluster"]["healthy"]


async def test_the_calendar_of_two_days() -> None:
    async with running(_exo()) as server:
        for name, model, cron in (("a", "tiny-a", "0 6 * * *"), ("b", "tiny-b", "0 18 * * *")):
            schedule = f'[{{cron: "{cron}", durationMinutes: 720, timeZone: "Europe/Berlin"}}]'
            named = f'name: "{name}", model: "{model}", schedule: {schedule}'
            await _ask(server, f"mutation {{ applyDeployment({named}) {{ deployment {{ name }} }} }}")
        entries = (
            await _ask(
                server,
                '{ calendar(days: 2, from: "2026-03-28T00:00:00+01:00") { from until fitsTogether deployments { name } '
                "transition { loads { name } unloads { name } note } } }",
            )
        )["calendar"]
        assert [(each["from"], [d["name"] for d in each["deployments"]]) for each in entries] == [
            ("2026-03-27T23:00:00Z", ["b"]),
            ("2026-03-28T05:00:00Z", ["a"]),
            ("2026-03-28T17:00:00Z", ["b"]),
            ("2026-03-29T04:00:00Z", ["a", "b"]),
            ("2026-03-29T05:00:00Z", ["a"]),
            ("2026-03-29T16:00:00Z", ["b"]),
        ]
        assert all(each["fitsTogether"] for each in entries)
        assert "clocks go forward" in entries[2]["transition"]["note"]


async def test_a_calendar_of_thirty_deployments_is_allowed() -> None:
    async with running(SimulatedExo(seed=1)) as server:
        ids = [each["id"] for each in (await _ask(server, "{ models { id } }"))["models"]][:30]
        for number, model in enumerate(ids):
            window = f'{{cron: "0 {number % 24} * * *", durationMinutes: 30, timeZone: "UTC"}}'
            named = f'name: "d-{number}", model: "{model}", schedule: [{window}]'
            await _ask(server, f"mutation {{ applyDeployment({named}) {{ error {{ message }} }} }}")
        selected = "from until fitsTogether reason deployments { name } transition { note }"
        entries = (await _ask(server, f"{{ calendar {{ {selected} }} }}"))["calendar"]
        assert len(entries) == 14 * 24 * 2
        async with httpx.AsyncClient() as client:
            every = "deployments { name model { id name } schedule { cron } reason }"
            answer = (await client.post(server.url, json={"query": f"{{ calendar {{ {every} }} }}"})).json()
        assert answer["errors"][0]["extensions"]["limit"] == "max_calendar_cost"


async def test_generation_0_is_that_of_a_deployment_which_does_not_exist() -> None:
    async with running(_exo()) as server:
        apply = 'mutation { applyDeployment(name: "a", model: "tiny-a", ifGeneration: 0) { error { code message } } }'
        assert (await _ask(server, apply))["applyDeployment"]["error"] is None
        assert (await _ask(server, apply))["applyDeployment"]["error"]["code"] == "DEPLOYMENT_CHANGED"


async def test_its_own_instances_are_those_that_deleting_it_unloads() -> None:
    async with running(_exo()) as server:
        await _ask(server, f'mutation {{ loadModel(model: "{B}") {{ error {{ code }} }} }}')
        await _ask(server, 'mutation { applyDeployment(name: "a", model: "tiny-a") { error { code } } }')
        rare = 'schedule: [{cron: "0 0 29 2 *", durationMinutes: 1, timeZone: "UTC"}]'
        await _ask(server, f'mutation {{ applyDeployment(name: "b", model: "tiny-b", {rare}) {{ error {{ code }} }} }}')
        await _is(server, "a", "READY")
        await _is(server, "b", "OFF")
        own = "name ownInstances { model { id } }"
        expected = [{"name": "a", "ownInstances": [{"model": {"id": A}}]}, {"name": "b", "ownInstances": []}]
        assert (await _ask(server, f"{{ deployments {{ {own} }} }}"))["deployments"] == expected
        cluster = (await _ask(server, f"{{ cluster {{ demo deployments {{ {own} }} }} }}"))["cluster"]
        assert cluster == {"demo": True, "deployments": expected}


async def test_what_is_being_loaded_for_a_deployment_is_not_in_its_way_in_the_calendar() -> None:
    async with running(SimulatedExo(tiny_scenario(), speed=0.2, seed=1)) as server:
        await _ask(server, 'mutation { applyDeployment(name: "a", model: "half") { error { code } } }')
        kept = server.components.deployments
        await until(lambda: kept.get("a").instance_ids)  # type: ignore[union-attr]
        (entry,) = (await _ask(server, "{ calendar { fitsTogether reason deployments { ready } } }"))["calendar"]
        assert entry == {"fitsTogether": True, "reason": None, "deployments": [{"ready": False}]}
