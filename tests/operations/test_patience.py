"""How long operations wait, for what, and how soon they act."""

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.readiness import Failure
from exo_graphql.operations import InvalidArgument, LoadFailed, NodeNotFound, OperationState
from exo_graphql.operations.place import most_informative
from exo_graphql.simulator import Fault, parse_fault, tiny_scenario
from tests.operations.test_records import NOW
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, B, begun, steps, world

pytestmark = pytest.mark.anyio

READ = ("GET", "/state")


@pytest.mark.parametrize("seconds", [0.04, 0.5])
async def test_a_load_requests_the_instance_within_two_reads(seconds: float) -> None:
    """It took 3 s on a cluster with a long history, where a read takes 0.2 s."""
    async with world() as w:
        w.sim.control.latency = seconds
        await asyncio.sleep(60)
        w.sim.control.requests.clear()
        asked_at = asyncio.get_running_loop().time()
        operation = begun(await w.ops.load(A))
        await w.when(operation, lambda now: "Requested" in now.message)
        # One read may be under way already when the request comes.
        assert w.sim.control.requests[READ] <= 3
        # Two reads, the previews, and exo's own answer.
        assert asyncio.get_running_loop().time() - asked_at < 6 * seconds + 0.1
        await w.end(operation)


@pytest.mark.parametrize(("attempts", "made"), [(None, 2), (1, 1), (3, 3)])
async def test_a_swap_that_has_unloaded_a_model_does_not_wait_for_all_of_exos_attempts(
    attempts: int | None, made: int
) -> None:
    async with world() as w:
        await w.given(HALF)
        w.fault(f"load-fails:{OTHER_HALF}")
        ended = await w.end(await w.ops.swap([HALF], [OTHER_HALF], attempts=attempts))
        assert ended.state is OperationState.ROLLED_BACK
        assert isinstance(ended.error, LoadFailed)
        assert ended.error.attempts == made
        assert await w.serving() == [HALF]


@pytest.mark.parametrize(("attempts", "made"), [(None, 5), (2, 2)])
async def test_a_load_waits_for_as_many_attempts_as_requested(attempts: int | None, made: int) -> None:
    async with world() as w:
        w.fault(f"load-fails:{A}")
        ended = await w.end(await w.ops.load(A, attempts=attempts))
        assert ended.state is OperationState.FAILED
        assert isinstance(ended.error, LoadFailed)
        assert ended.error.attempts == made
        assert await w.listed() == []


@pytest.mark.parametrize("attempts", [0, -1, 101])
async def test_an_invalid_number_of_attempts_is_rejected(attempts: int) -> None:
    async with world() as w:
        error = await w.ops.load(A, attempts=attempts)
        assert isinstance(error, InvalidArgument)
        assert error.argument == "attempts"


def test_the_cause_is_that_of_the_newest_attempt_that_names_one() -> None:
    said = {
        1: "RuntimeError: weights of layer 3 are damaged",
        2: "Terminated (signal=9 (Killed))",
        3: "Terminated (exitcode=1)",
        4: "The runner failed without a message.",
    }
    failures = {attempt: Failure(NOW, message, None, attempt) for attempt, message in said.items()}
    cause = most_informative(failures)
    assert cause is not None
    assert cause.attempt == 1
    assert most_informative({3: failures[3], 2: failures[2]}) == failures[3]
    assert most_informative({}) is None


async def test_a_request_for_a_returning_node_waits_for_it() -> None:
    """A lost master: of three nodes one is back at once, the next after 3 s. No request is rejected meanwhile."""
    async with world(tiny_scenario(3)) as w:
        w.sim.control.latency = 0.01  # reads that are frequent enough to show each of these moments
        w.fault("master-dies")
        await w.until(lambda snapshot: snapshot.stale)
        snapshot = await w.until(lambda snapshot: not snapshot.stale and snapshot.node_count == 1)
        (present,) = snapshot.nodes
        away = next(name for name in ("node-1", "node-2") if name != present.friendly_name)
        ended = await w.end(await w.ops.load(A, nodes=[away]))
        assert ended.state is OperationState.SUCCEEDED, ended
        (instance,) = (await w.snapshot()).state.instances.values()
        assert [(await w.snapshot()).state.nodes[s.node_id or ""].friendly_name for s in instance.shards] == [away]


async def test_an_unknown_node_is_rejected_at_once() -> None:
    async with world() as w:
        before = asyncio.get_running_loop().time()
        assert isinstance(await w.ops.load(A, nodes=["node-9"]), NodeNotFound)
        assert asyncio.get_running_loop().time() - before < 1.0


async def test_a_node_that_does_not_return_is_rejected_once_the_members_have_settled() -> None:
    async with world(tiny_scenario(3)) as w:
        w.sim.control.kill_node("node-2")
        await w.until(lambda snapshot: snapshot.node_count == 2)
        before = asyncio.get_running_loop().time()
        assert isinstance(await w.ops.load(A, nodes=["node-2"]), NodeNotFound)
        assert 5.0 < asyncio.get_running_loop().time() - before < 30.0


@pytest.mark.parametrize("seconds", [3.0, 12.0, 40.0])
@pytest.mark.parametrize("step", ["place", "load", "drain", "unload", "memory"])
async def test_a_hanging_exo_fails_no_operation(step: str, seconds: float) -> None:
    async with world() as w:
        await w.given(A)
        operation = begun(await w.ops.swap([A], [B]))
        await w.when(operation, lambda now: steps(now)[step] == "RUNNING")
        w.sim.control.inject(Fault("hang", at=w.sim.control.now, duration=seconds))
        ended = await w.end(operation)
        assert ended.state is OperationState.SUCCEEDED, ended
        assert await w.listed() == [B]


@pytest.mark.parametrize("fault", [None, f"load-fails:{A}"])
async def test_progress_never_falls_within_an_attempt_and_reaches_100_once(fault: str | None) -> None:
    scenario = tiny_scenario()
    async with world(replace(scenario, cards=tuple(replace(card, layers=40) for card in scenario.cards))) as w:
        if fault is not None:
            w.sim.control.inject(replace(parse_fault(fault), count=1))
        seen: list[float | None] = []
        w.ops.listen(lambda: seen.append(next(iter(w.ops.all())).progress_percent) if w.ops.all() else None)
        ended = await w.end(await w.ops.load(A))
        assert ended.state is OperationState.SUCCEEDED
        assert ended.progress_percent == 100.0
        shown = [value for value, before in zip(seen[1:], seen, strict=False) if value != before]
        assert shown[-1] == 100.0
        assert shown.count(100.0) == 1
        falls = sum(
            after is None or (before is not None and after < before) for before, after in itertools.pairwise(shown)
        )
        assert falls <= (fault is not None)


@pytest.mark.parametrize("hours", [-1.0, 1.0])
async def test_a_clock_adjusted_while_exo_tries_again_hides_no_attempt(
    hours: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time stamp of a failure does not decide which load it belongs to."""
    async with world() as w:
        await w.given(HALF)
        w.fault(f"load-fails:{OTHER_HALF}")
        operation = begun(await w.ops.swap([HALF], [OTHER_HALF]))
        await w.when(operation, lambda now: steps(now)["load"] == "RUNNING")
        real = w.poller._now

        def set_clock() -> Moment:
            moment = real()
            return Moment(moment.at + timedelta(hours=hours), moment.elapsed)

        monkeypatch.setattr(w.poller, "_now", set_clock)
        ended = await w.end(operation)
        assert isinstance(ended.error, LoadFailed)
        assert ended.error.attempts == 2
        assert await w.serving() == [HALF]


async def test_the_failure_of_an_earlier_load_does_not_count_for_this_one() -> None:
    async with world() as w:
        w.sim.control.inject(replace(parse_fault(f"load-fails:{A}"), count=1))
        first = await w.end(await w.ops.load(A, attempts=1))
        assert isinstance(first.error, LoadFailed)
        operation = begun(await w.ops.load(A, attempts=1))
        await w.when(operation, lambda now: steps(now)["load"] == "RUNNING")
        for id_ in (await w.snapshot()).state.instances:
            w.sim.control.delete_instance(id_)
        ended = await w.end(operation)
        assert isinstance(ended.error, LoadFailed)
        assert ended.error.attempts == 0
        assert "removed before it was ready" in ended.message


async def test_a_restore_waits_for_no_more_memory_than_it_needs() -> None:
    """Memory that a load had not taken when it failed is never freed: waiting 20 s for it left no model loaded."""
    async with world() as w:
        await w.given(HALF)
        w.fault(f"load-fails:{OTHER_HALF}")
        ended = await w.end(await w.ops.swap([HALF], [OTHER_HALF]))
        assert ended.state is OperationState.ROLLED_BACK
        removing = ended.step("remove")
        assert removing is not None
        assert removing.started_at is not None
        assert removing.finished_at is not None
        assert removing.finished_at - removing.started_at < timedelta(seconds=5)
