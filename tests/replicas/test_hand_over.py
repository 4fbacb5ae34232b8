"""Two servers with one real PostgreSQL reach one exo by ways of their own: one that is cut off gives the lead up."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from exo_graphql.operations import OperationState
from exo_graphql.replicas import candidate
from tests.support.process import free_port
from tests.support.replicas import Exo, exo
from tests.support.replicated import ask
from tests.support.running import PATIENCE, A, Running, running, until
from tests.support.severed import Severed

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

LOAD = f'mutation {{ loadModel(model: "{A}") {{ operation {{ id }} error {{ message }} }} }}'


@dataclass
class Pair:
    """Two servers that reach the same exo by ways of their own; the first one leads."""

    exo: Exo
    ways: list[Severed]
    servers: list[Running]

    def leading(self) -> list[bool]:
        return [server.components.roles.leading for server in self.servers]


@asynccontextmanager
async def pair(database: str, speed: float = 1.0) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        made = Pair(await stack.enter_async_context(exo(speed)), [], [])
        for _ in range(2):
            way = await stack.enter_async_context(Severed.between(made.exo.url))
            given: dict[str, Any] = {
                "database_url": database,
                "lease_seconds": 3.0,
                "renew_seconds": 0.3,
                "normal_pause": 0.1,
            }
            one = running(demo=False, exo_url=(way.url,), port=free_port(), **given)
            made.ways.append(way)
            made.servers.append(await stack.enter_async_context(one))
            await until(connected(made.servers[-1]))
            stack.enter_context(made.servers[-1].components.poller.subscriber())
        await until(lambda: made.leading() == [True, False] and made.servers[1].components.poller.has_a_copy)
        yield made


def connected(server: Running) -> Callable[[], bool]:
    """Whether it shows exo's state, from wherever."""
    poller = server.components.poller
    return lambda: poller.snapshot is not None and poller.snapshot.connected


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes 10 s takes 2 s."""
    monkeypatch.setattr(candidate, "HAND_OVER_AFTER", 2.0)
    monkeypatch.setattr(candidate, "LOOK_EVERY", 0.1)


@pytest.mark.usefixtures("soon")
async def test_an_operation_goes_on_at_the_server_that_exo_answers_and_nothing_changes_hands_before(
    database: str,
) -> None:
    async with pair(database, speed=2.0) as it:
        first, second = it.servers
        answer = (await ask(second, LOAD)).json()["data"]["loadModel"]
        assert answer["error"] is None
        await until(lambda: it.exo.creations(A))
        for way in it.ways:
            way.cut()
        silent = [server.components.poller.silent_for for server in it.servers]
        await until(lambda: min(each() for each in silent) > 2.5)
        assert it.leading() == [True, False]
        it.ways[1].release()
        await until(lambda: it.leading() == [False, True], PATIENCE)
        # The first one shows exo's state all the same.
        await until(lambda: first.components.poller.has_a_copy)
        for server in it.servers:
            await until(lambda: succeeded(server), PATIENCE)  # noqa: B023
        assert len(it.exo.creations(A)) == 1


def succeeded(server: Running) -> bool:
    """Whether all of its operations have."""
    return {each.state for each in server.components.operations.all()} == {OperationState.SUCCEEDED}
