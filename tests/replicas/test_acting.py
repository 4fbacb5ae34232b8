"""What the leader alone does: it delivers webhooks, writes the history, and applies the deployments file."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from exo_graphql.configured import webhooks_of
from exo_graphql.deployments.deployment import ManagedBy
from exo_graphql.deployments.file import Source, opened
from exo_graphql.events import EventKind, Occurrence, Severity
from exo_graphql.events.log import EventLog
from exo_graphql.operations import OperationRules
from exo_graphql.replicas import Roles
from exo_graphql.series import Series
from exo_graphql.series.sampler import Sampler
from exo_graphql.settings import SettingsError
from exo_graphql.storage import Collection
from exo_graphql.storage.sqlite import SQLiteStore
from exo_graphql.webhooks.target import targets
from exo_graphql.webhooks.webhooks import Webhooks
from tests.series.reported import node, snapshot
from tests.support.polled_cluster import loop_moment, loop_now
from tests.support.replica_parts import servers
from tests.support.running import settings
from tests.support.shared_store import SharedState, SharedStore
from tests.support.simulated_cluster import A, B
from tests.support.threaded_time import InlineTimeLoop
from tests.webhooks.receivers import SECRET, Network, Receiver

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": InlineTimeLoop}


@dataclass
class Sender:
    """One server with a webhook and a history."""

    store: SharedStore
    log: EventLog
    webhooks: Webhooks
    series: Series

    def happen(self, message: str) -> None:
        """Records an event."""
        lost = Occurrence(kind=EventKind.MODEL_LOST, severity=Severity.ERROR, message=message, model_id=message)
        self.log.record([lost])


@asynccontextmanager
async def senders(receiver: Receiver) -> AsyncIterator[tuple[SharedState, list[Sender]]]:
    """Two of them; the first one leads."""
    state = SharedState()
    await state.sqlite.open()
    async with AsyncExitStack() as stack:
        made = []
        stores = [state.store(f"server-{number}") for number in range(2)]
        state.leader = stores[0]
        for store in stores:
            log = EventLog(store, now=loop_now)
            webhooks = Webhooks(
                targets(["http://ha/"]), [SECRET], log, store, now=loop_moment, transport=Network({"ha": receiver})
            )
            series = Series(loop_moment())
            sampler = Sampler(
                series, store, snapshot=lambda: snapshot(loop_moment(), node("a", "studio", 10.0)), now=loop_moment
            )
            await stack.enter_async_context(Roles(store, [log, webhooks, sampler]))
            made.append(Sender(store, log, webhooks, series))
        yield state, made
    await state.sqlite.close()


async def test_the_leader_alone_delivers_and_the_next_one_goes_on_where_it_was() -> None:
    receiver = Receiver()
    async with senders(receiver) as (state, (first, second)):
        first.happen("one")
        await asyncio.sleep(2)
        assert receiver.taken == ["one"]
        shown = second.webhooks.all()[0]
        assert (shown.delivered, shown.pending) == (1, 0), "a follower shows how far the leader is"
        receiver.status = 500
        first.happen("two")
        await asyncio.sleep(2)
        assert shown.pending == 1
        assert shown.last_error == "It answered 500 Internal Server Error."
        state.lead(second.store)
        await asyncio.sleep(1)
        receiver.status = 204
        second.happen("three")
        await asyncio.sleep(60)
        assert sorted(receiver.taken) == ["one", "three", "two"]
        sent = len(receiver.requests)
        await asyncio.sleep(600)
        assert len(receiver.requests) == sent
        assert first.webhooks.all()[0].delivered == 3


async def test_the_history_is_written_by_the_leader_alone_and_without_a_gap() -> None:
    async with senders(Receiver()) as (state, (first, second)):
        await asyncio.sleep(200)
        state.lead(None)
        await asyncio.sleep(70)
        state.lead(second.store)
        await asyncio.sleep(200)
        written = [name for name, collection in state.writes if collection is Collection.HISTORY_MINUTES]
        assert written == sorted(written)
        entries = await state.sqlite.entries(Collection.HISTORY_MINUTES)
        numbers = [entry.sequence for entry in entries]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert len(numbers) >= 7
        ends = [each.of_node("a", 1440, 1440).power_watts[-6:-1] for each in (first.series, second.series)]
        assert ends == [[10.0] * 5] * 2


def test_servers_that_share_a_database_sign_with_one_secret(tmp_path: Path) -> None:
    """By default one is made in the state directory, which another server has not."""
    given = {"database_url": "postgresql://db/x", "webhook_url": ["http://ha/"], "state_dir": tmp_path}
    store = SQLiteStore(None)
    log = EventLog(store, now=loop_now)
    with pytest.raises(SettingsError, match="same secret") as refused:
        webhooks_of(settings(**given), log, store)
    assert refused.value.setting == "webhook_secret"
    webhooks_of(settings(**given, webhook_secret=SECRET), log, store)


def _file(path: Path, *models: str) -> Source:
    path.write_text("".join(f'[deployments.d{number}]\nmodel = "{model}"\n' for number, model in enumerate(models)))
    return opened(path, OperationRules(), "UTC")


async def test_the_leader_applies_the_deployments_file_as_it_is_when_it_begins_to_lead(tmp_path: Path) -> None:
    path = tmp_path / "deployments.toml"
    async with servers(file=_file(path, A)) as s:
        first, second = s.each
        await second.until(lambda: (found := second.deployments.get("d0")) is not None and found.ready)
        await s.lead(None)
        _file(path, A, B)  # changed while nobody leads: what was read at the start is old
        await s.lead(1)
        await asyncio.sleep(1)
        assert second.deployments.get("d0") is not None
        await second.until(lambda: (found := second.deployments.get("d1")) is not None and found.ready)
        await first.until(lambda: (found := first.deployments.get("d1")) is not None and found.ready)
        path.write_text("[deployments.d0\n")
        await first.until(lambda: first.deployments.file_problem is not None)
        assert first.deployments.file_problem == second.deployments.file_problem
        await s.lead(0)
        await s.settled(10)
        assert first.deployments.file_problem is not None
        _file(path, A, B)
        await second.until(lambda: second.deployments.file_problem is None)


async def test_a_leader_without_the_file_that_another_server_has_withdraws_nothing(tmp_path: Path) -> None:
    async with servers(file=_file(tmp_path / "deployments.toml", A)) as s:
        first, second = s.each
        await first.until(lambda: (found := first.deployments.get("d0")) is not None and found.ready)
        second.deployments._keeping.file = None
        await s.lead(1)
        await s.settled(10)
        found = second.deployments.get("d0")
        assert found is not None
        assert found.deployment.managed_by is ManagedBy.FILE
        assert found.deployment.pause is None
