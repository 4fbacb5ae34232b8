"""The plan is a pure function: equal arguments give equal plans, and missing previews are named."""

from collections.abc import Sequence

import pytest

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import PlacementPreview
from exo_graphql.operations import InsufficientMemory, OperationError, OperationKind, PlacementRefused
from exo_graphql.operations.fetch import ATTEMPTS, decide, planned
from exo_graphql.operations.plan import Plan, removals_of
from exo_graphql.operations.planning import plan
from exo_graphql.operations.previews import Previews, Question, Unasked
from exo_graphql.operations.requests import OperationRequest
from exo_graphql.operations.reservations import Reservation
from exo_graphql.operations.resolution import ResolvedRequest, resolve
from exo_graphql.operations.saga_state import SagaState, Target
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, SimulatedCluster, world

pytestmark = pytest.mark.anyio

LOAD = OperationRequest(OperationKind.LOAD, load=(HALF,))
SWAP = OperationRequest(OperationKind.SWAP, load=(OTHER_HALF,), unload=(HALF,))


def _resolved(snapshot: Snapshot, request: OperationRequest) -> ResolvedRequest:
    resolved = resolve(snapshot, request)
    assert isinstance(resolved, ResolvedRequest)
    return resolved


def _everything(snapshot: Snapshot) -> Reservation:
    """Another operation that has reserved all memory and will not release it."""
    takes = {node.id: node.ram_available_bytes or 0 for node in snapshot.nodes}
    return Reservation("other", 1, SagaState(targets=[Target(A, takes)]), waiting=False)


async def _previews(w: SimulatedCluster, model: str) -> Previews:
    return Previews({Question(model): await w.poller.previews(model)})


@pytest.mark.parametrize("request_", [LOAD, SWAP], ids=["load", "swap"])
async def test_the_same_arguments_give_the_same_plan_and_are_not_changed(request_: OperationRequest) -> None:
    async with world() as w:
        if request_ is SWAP:
            await w.given(HALF)
        snapshot = await w.snapshot()
        resolved, previews = _resolved(snapshot, request_), await _previews(w, request_.load[0])
        first = plan(snapshot, request_, resolved, (), previews)
        assert isinstance(first, Plan)
        assert plan(snapshot, request_, resolved, (), previews) == first
        assert all(target.takes for target in first.saga_state.targets)


async def test_a_plan_names_the_previews_that_it_lacks() -> None:
    async with world() as w:
        snapshot = await w.snapshot()
        with pytest.raises(Unasked) as lacking:
            plan(snapshot, LOAD, _resolved(snapshot, LOAD), (), Previews())
        assert lacking.value.question == Question(HALF)


async def test_exo_is_asked_each_question_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        asked: list[tuple[str, Sequence[str]]] = []
        real = w.poller.previews

        async def counted(model_id: str, node_ids: Sequence[str] = ()) -> tuple[PlacementPreview, ...]:
            asked.append((model_id, node_ids))
            return await real(model_id, node_ids)

        monkeypatch.setattr(w.poller, "previews", counted)

        def decision(previews: Previews) -> int:
            return len(previews.of(Question(HALF))) + len(previews.of(Question(A))) + len(previews.of(Question(HALF)))

        assert await decide(w.poller, decision) > 0
        assert asked == [(HALF, ()), (A, ())]


async def test_memory_that_others_reserve_while_exo_is_asked_is_not_used_twice() -> None:
    async with world() as w:
        snapshot = await w.snapshot()
        seen: list[tuple[Reservation, ...]] = []

        def reservations() -> tuple[Reservation, ...]:
            """None while the plan is made, and all memory as soon as it is."""
            seen.append(() if len(seen) % 2 == 0 else (_everything(snapshot),))
            return seen[-1]

        outcome = await planned(w.poller, snapshot, LOAD, _resolved(snapshot, LOAD), reservations)
        assert isinstance(outcome, PlacementRefused)
        assert "while exo was asked" in outcome.message
        assert len(seen) == 2 * ATTEMPTS


async def test_a_plan_is_made_again_once_others_have_released_the_memory() -> None:
    async with world() as w:
        snapshot = await w.snapshot()
        calls = 0

        def reservations() -> tuple[Reservation, ...]:
            nonlocal calls
            calls += 1
            return (_everything(snapshot),) if calls == 2 else ()

        outcome: Plan | OperationError = await planned(
            w.poller, snapshot, LOAD, _resolved(snapshot, LOAD), reservations
        )
        assert isinstance(outcome, Plan), outcome
        assert calls == 4


def _unloads(snapshot: Snapshot, model: str) -> Reservation:
    """Another operation that unloads this model: a plan may wait for its memory."""
    return Reservation("unload", 1, SagaState(removals=removals_of(snapshot, model, None)), waiting=False)


async def test_a_plan_that_waits_is_made_again_once_what_it_waits_for_is_reserved() -> None:
    async with world() as w:
        await w.given(HALF)
        snapshot = await w.snapshot()
        load = OperationRequest(OperationKind.LOAD, load=(OTHER_HALF,))
        unload, calls = _unloads(snapshot, HALF), 0
        size = snapshot.models[HALF].storage_bytes or 0
        taker = Reservation(
            "taker", 2, SagaState(targets=[Target(A, dict.fromkeys(snapshot.state.nodes, size))]), False
        )

        def reservations() -> tuple[Reservation, ...]:
            """From the second call on, after the first plan was made, a third operation has reserved the memory."""
            nonlocal calls
            calls += 1
            return (unload,) if calls == 1 else (unload, taker)

        waits = await planned(w.poller, snapshot, load, _resolved(snapshot, load), lambda: (unload,))
        assert isinstance(waits, Plan)
        assert waits.waiting_for == ("unload",)
        outcome = await planned(w.poller, snapshot, load, _resolved(snapshot, load), reservations)
        assert isinstance(outcome, InsufficientMemory), outcome
        assert "taker" in (outcome.suggestion or "")


async def test_a_plan_that_waits_is_made_again_once_what_it_waits_for_has_ended() -> None:
    """As an unload that was cancelled: waiting for it would never end."""
    async with world() as w:
        await w.given(HALF)
        snapshot = await w.snapshot()
        load = OperationRequest(OperationKind.LOAD, load=(OTHER_HALF,))
        seen = [(_unloads(snapshot, HALF),)]
        outcome = await planned(w.poller, snapshot, load, _resolved(snapshot, load), lambda: seen.pop() if seen else ())
        assert isinstance(outcome, InsufficientMemory), outcome
        assert outcome.unload_to_fit_ids == (HALF,)


async def test_memory_that_is_taken_while_exo_is_asked_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """By an operation that has ended meanwhile, for example: it reserves nothing any more."""
    async with world() as w:
        snapshot = await w.snapshot()
        real = w.poller.previews

        async def slowly(model_id: str, node_ids: Sequence[str] = ()) -> tuple[PlacementPreview, ...]:
            previews = await real(model_id, node_ids)
            if not (await w.snapshot()).instances_of(OTHER_HALF):
                await w.given(OTHER_HALF)
            return previews

        monkeypatch.setattr(w.poller, "previews", slowly)
        outcome = await planned(w.poller, snapshot, LOAD, _resolved(snapshot, LOAD), lambda: ())
        assert isinstance(outcome, InsufficientMemory), outcome
        assert outcome.unload_to_fit_ids == (OTHER_HALF,)


async def test_a_reservation_does_not_change_while_a_thread_reads_it() -> None:
    async with world() as w:
        operation = await w.ops.load(HALF)
        assert not isinstance(operation, OperationError)
        run = w.ops._manager.run(operation.id)
        assert run is not None
        reservation = run.reservation
        before = reservation.reserved(await w.snapshot())
        run.saga_state.targets[0].takes = {}
        run.saga_state.targets.clear()
        assert reservation.reserved(await w.snapshot()) == before
        assert before
