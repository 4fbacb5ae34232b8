"""What an apply stores."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from exo_graphql.deployments.schedule import Window
from exo_graphql.deployments.validation import Declaration, resolve
from exo_graphql.operations import InvalidArgument
from exo_graphql.operations.rules import DEFAULT_OPERATION_RULES
from tests.deployments import views
from tests.support.deployed_cluster import deployed
from tests.support.running import until

pytestmark = pytest.mark.anyio

CLOSED = (Window("0 0 1 1 *", 1, "UTC"),)


async def test_an_apply_keeps_what_the_loop_stores_in_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with deployed() as d:
        uid = (await d.applied("a", "tiny-a", schedule=CLOSED)).deployment.uid
        registry = d.deployments._registry
        save, begun, goes_on = registry._store.save, asyncio.Event(), asyncio.Event()

        async def held_up(*arguments: Any) -> None:
            begun.set()
            await goes_on.wait()
            await save(*arguments)

        monkeypatch.setattr(registry._store, "save", held_up)
        counting = asyncio.create_task(registry.update(uid, lambda known: replace(known, sequence=7)))
        await begun.wait()
        again = Declaration("a", "tiny-a", schedule=CLOSED, priority=1)
        applying = asyncio.create_task(d.deployments.apply(again))
        # Until the apply waits for the loop's write, which holds the lock.
        await until(lambda: registry._writing._waiters)
        goes_on.set()
        await asyncio.gather(counting, applying)
        kept = registry.of(uid)
        assert kept is not None
        assert (kept.sequence, kept.spec.priority, kept.generation) == (7, 1, 2)


@pytest.mark.parametrize(
    ("node", "message"),
    [("MAC", "Several nodes are called 'MAC': n1, n2."), ("n1", "Several members are called 'mac'.")],
    ids=["by its name", "by its id, of which the name is kept"],
)
def test_a_name_that_several_members_have_is_refused_when_it_is_applied(node: str, message: str) -> None:
    shown = views.snapshot(renamed={"n1": "mac", "n2": "Mac"})
    error = resolve(Declaration("a", "small", nodes=[node]), shown, DEFAULT_OPERATION_RULES, "UTC")
    assert isinstance(error, InvalidArgument)
    assert (error.argument, error.message) == ("nodes", message)
    assert error.suggestion
