"""Cancelling an inference."""

import asyncio

import httpx
import pytest

from exo_graphql.cluster.state import Task
from exo_graphql.operations import TaskNotCancellable, TaskNotFound
from tests.support.simulated_cluster import A, world

pytestmark = pytest.mark.anyio


async def test_an_inference_under_way_is_cancelled() -> None:
    async with world() as w:
        await w.given(A)
        body = {"model": A, "max_tokens": 100_000, "messages": [{"role": "user", "content": "hi"}]}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(w.sim.app), base_url="http://exo") as client:
            chat = asyncio.ensure_future(client.post("/v1/chat/completions", json=body, timeout=None))
            snapshot = await w.until(lambda snapshot: snapshot.active_task_count == 1)
            (task,) = (task for task in snapshot.tasks if snapshot.is_active(task))
            cancelled = await w.ops.cancel_task(task.id)
            assert isinstance(cancelled, Task)
            assert cancelled.id == task.id
            await w.until(lambda snapshot: snapshot.active_task_count == 0, seconds=30)
            chat.cancel()
            await asyncio.wait([chat])


async def test_only_an_existing_inference_task_can_be_cancelled() -> None:
    async with world() as w:
        await w.given(A)
        snapshot = await w.snapshot()
        finished = next(task for task in snapshot.all_tasks if not snapshot.is_active(task))
        assert isinstance(await w.ops.cancel_task(finished.id), TaskNotCancellable)
        assert isinstance(await w.ops.cancel_task("nonsense"), TaskNotFound)
