"""Whether a server's parts act exactly while it leads, whatever happens at the change."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from unittest.mock import patch

import pytest

from exo_graphql.replicas import Roles
from exo_graphql.replicas.roles import Changes
from exo_graphql.storage import Collection, StoreError
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.running import until
from tests.support.shared_store import SharedState

pytestmark = pytest.mark.anyio


@dataclass
class Part:
    """Notes what it is asked, and does what the test wants when it is to lead."""

    name: str
    calls: list[str]
    leads: Callable[[], Awaitable[None]] | None = None
    seen: list[Changes] = field(default_factory=list)

    async def follow(self) -> None:
        self.calls.append(f"{self.name} follows")

    async def changed(self, changes: Changes) -> None:
        self.seen.append(changes)

    async def refresh(self) -> None:
        self.calls.append(f"{self.name} is fresh")

    async def lead(self) -> None:
        self.calls.append(f"{self.name} leads")
        if self.leads is not None:
            await self.leads()

    async def rest(self) -> None:
        self.calls.append(f"{self.name} rests")

    async def close(self) -> None:
        self.calls.append(f"{self.name} ends")


async def test_a_server_with_a_store_of_its_own_leads_from_start_to_end() -> None:
    calls: list[str] = []
    store = SQLiteStore(None)
    roles = Roles(store, [Part("a", calls), Part("b", calls)])
    async with roles:
        assert roles.leading
        assert calls == ["a leads", "b leads"]
    assert calls[2:] == ["b ends", "a ends"]


async def test_the_role_follows_the_leadership_and_listeners_are_called() -> None:
    state, calls = SharedState(), list[str]()
    store = state.store("one")
    told: list[bool] = []
    async with Roles(store, [Part("a", calls), Part("b", calls)]) as roles:
        roles.listen(lambda: told.append(roles.leading))
        assert calls == ["a follows", "b follows"]
        assert not roles.leading
        state.lead(store)
        await until(lambda: roles.leading)
        assert calls[2:] == ["a leads", "b leads"]
        state.lead(None)
        await until(lambda: not roles.leading)
        await until(lambda: calls[4:] == ["b rests", "a rests"])
        assert told[-1] is False
        state.lead(store)
        await until(lambda: roles.leading)
        assert calls[6:] == ["a leads", "b leads"]


async def test_a_leadership_that_is_lost_and_regained_begins_anew() -> None:
    """Another server may have led between, so that what is in memory is old."""
    state, calls = SharedState(), list[str]()
    store = state.store("one")
    async with Roles(store, [Part("a", calls)]) as roles:
        state.lead(store)
        await until(lambda: roles.leading)
        state.lead(None)
        state.lead(store)
        await until(lambda: calls == ["a follows", "a leads", "a rests", "a leads"])
        assert roles.leading


async def test_a_leadership_that_is_lost_while_the_parts_begin_ends_that() -> None:
    state, calls = SharedState(), list[str]()
    store = state.store("one")
    never = asyncio.Event()

    async def wait() -> None:
        await never.wait()

    async with Roles(store, [Part("a", calls), Part("b", calls, wait)]) as roles:
        state.lead(store)
        await until(lambda: calls[-1] == "b leads")
        state.lead(None)
        await until(lambda: calls[-1] == "a rests")
        assert not roles.leading


async def test_it_leads_again_only_after_all_parts_have_rested() -> None:
    state, calls = SharedState(), list[str]()
    store = state.store("one")
    rests: list[Callable[[], bool]] = []
    with patch.object(store.leadership, "begin_only_while", rests.append):
        async with Roles(store, [Part("a", calls), Part("b", calls)]) as roles:
            assert rests[0]()
            state.lead(store)
            await until(lambda: roles.leading)
            assert not rests[0]()
            state.lead(None)
            assert not rests[0]()
            await until(rests[0])
            assert calls[-1] == "a rests"


async def test_a_leadership_that_is_lost_while_the_server_starts_ends_what_has_begun() -> None:
    state, calls = SharedState(), list[str]()
    store = state.store("one")
    state.lead(store)

    async def lose() -> None:
        state.lead(None)

    async with Roles(store, [Part("a", calls), Part("b", calls, lose)]) as roles:
        await until(lambda: calls[-2:] == ["b rests", "a rests"])
        assert not roles.leading


async def test_a_store_that_does_not_answer_a_reading_delays_no_take_over() -> None:
    state, calls = SharedState(), list[str]()
    store, never = state.store("one"), asyncio.Event()
    part = Part("a", calls)
    reached = asyncio.Event()

    async def hangs(changes: Changes) -> None:
        part.seen.append(changes)
        reached.set()
        await never.wait()

    part.changed = hangs  # type: ignore[method-assign]
    async with Roles(store, [part]) as roles:
        await reached.wait()
        state.lead(store)
        await until(lambda: roles.leading)


async def test_a_part_that_cannot_read_the_store_is_tried_again() -> None:
    state, calls = SharedState(), list[str]()
    store = state.store("one")
    failures = [StoreError("The database does not answer.")]

    async def fail_once() -> None:
        if failures:
            raise failures.pop()

    async with Roles(store, [Part("a", calls), Part("b", calls, fail_once)]) as roles:
        state.lead(store)
        await until(lambda: roles.leading)
        assert calls[2:] == ["a leads", "b leads", "b rests", "a rests", "a leads", "b leads"]


async def test_a_store_that_cannot_be_read_for_long_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    state, failures = SharedState(), 3
    part = Part("a", [])

    async def fail(changes: Changes) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreError("permission denied")
        part.seen.append(changes)

    part.changed = fail  # type: ignore[method-assign]
    with patch("exo_graphql.replicas.roles.RETRY_AFTER", 0.01):
        async with Roles(state.store("one"), [part]):
            await until(lambda: part.seen)
            await until(lambda: "read again" in caplog.text)
    assert caplog.text.count("permission denied") == 1


async def test_a_server_that_an_internal_error_keeps_from_leading_leaves_the_lead_to_others() -> None:
    state, calls = SharedState(), list[str]()
    store = state.store("one")
    broken = True

    async def fail() -> None:
        if broken:
            raise ValueError("a fault of the program")

    with patch("exo_graphql.replicas.roles.REFRAIN_SECONDS", 0.2):
        async with Roles(store, [Part("a", calls), Part("b", calls, fail)]) as roles:
            state.lead(store)
            await until(lambda: state.leader is None)
            await until(lambda: calls[-2:] == ["b rests", "a rests"])
            assert not store.leadership.begins()
            assert not roles.leading
            broken = False
            await until(store.leadership.begins)
            state.lead(store)
            await until(lambda: roles.leading)


async def test_what_others_write_reaches_the_parts_by_id() -> None:
    state = SharedState()
    part = Part("a", [])
    one, other = state.store("one"), state.store("other")
    await one.open()
    async with Roles(one, [part]) as roles:
        await until(lambda: len(part.seen) == 1)
        assert set(part.seen[0]) == set(Collection), "what was written before it listened"
        state.lead(other)
        await other.forget(Collection.DEPLOYMENTS, ["x"])
        await other.forget(Collection.DEPLOYMENTS, ["y"])
        await until(lambda: len(part.seen) > 1)
        await roles.refresh()
        assert part.calls[-1] == "a is fresh"
        found = {id_ for seen in part.seen[1:] for id_ in seen.get(Collection.DEPLOYMENTS) or ()}
        assert found == {"x", "y"}
    await state.sqlite.close()


async def test_a_caller_waits_for_a_leader() -> None:
    state = SharedState()
    one, other = state.store("one"), state.store("other")
    async with Roles(one, []) as roles:
        assert not await roles.settled(0.01)
        waiting = asyncio.create_task(roles.settled(5))
        await asyncio.sleep(0)
        state.lead(other)
        assert await waiting
