"""Operations of a server that may not act for a while: they wait, and go on when it may."""

import asyncio

import pytest

from exo_graphql.exo.gate import Gate
from exo_graphql.operations import ClusterUnavailable, DownloadsResult, Operation, OperationRules, OperationState
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, SimulatedCluster, steps, world

pytestmark = pytest.mark.anyio


def _commands(w: SimulatedCluster) -> dict[tuple[str, str], int]:
    return {request: count for request, count in w.sim.control.requests.items() if request[0] != "GET"}


@pytest.mark.parametrize("step", ["place", "unload", "restore", "remove"])
async def test_a_swap_waits_without_a_command_and_goes_on(step: str) -> None:
    left = [9.0]
    rules = OperationRules(unreachable_seconds=4.0, stall_seconds=8.0)
    async with world(rules=rules, gate=Gate(lambda: left[0])) as w:
        await w.given(HALF)
        if step in ("restore", "remove"):
            w.fault(f"load-fails:{OTHER_HALF}")
        operation = await w.ops.swap([HALF], [OTHER_HALF])
        before = {"place": "memory", "unload": "drain", "restore": "remove", "remove": "load"}[step]
        await w.when(operation, lambda now: steps(now).get(before) == "RUNNING")
        left[0] = 0.0
        # Longer than an exo that does not answer is waited for, and than an operation may be without progress.
        await asyncio.sleep(10)
        sent = _commands(w)
        await asyncio.sleep(10)
        assert _commands(w) == sent
        assert isinstance(operation, Operation)
        waiting = w.ops.get(operation.id)
        assert waiting is not None
        assert waiting.active
        left[0] = 9.0
        ended = await w.end(operation)
        undone = step in ("restore", "remove")
        assert ended.state is (OperationState.ROLLED_BACK if undone else OperationState.SUCCEEDED), ended
        assert await w.serving() == [HALF if undone else OTHER_HALF]


async def test_what_is_not_an_operation_is_refused_at_once_and_says_why() -> None:
    async with world(gate=Gate(lambda: 0.0)) as w:
        added = await w.ops.add_model("mlx-community/Llama-3.2-1B-Instruct-4bit")
        started = await w.ops.start_download(A)
        assert _commands(w) == {}
    assert isinstance(added, ClusterUnavailable)
    assert added.message == "This server does not lead at present, so it sends exo no commands."
    assert added.suggestion == "Try again in a few seconds: by then one of the servers leads."
    assert isinstance(started, DownloadsResult)
    assert all("does not lead" in (each.error or "") for each in started.results)
