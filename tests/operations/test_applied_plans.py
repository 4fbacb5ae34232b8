"""Plans that are shown, and then applied as they were shown, or not at all."""

import base64
import string
from dataclasses import replace

import pytest

from exo_graphql.operations import (
    InstanceTypePreference,
    InsufficientMemory,
    InvalidArgument,
    ModelNotFound,
    ModelNotLoaded,
    NodeNotFound,
    Operation,
    OperationConflict,
    OperationError,
    OperationKind,
    OperationRules,
    PlanOutdated,
    Proposal,
    ShardingPreference,
    TooManyOperations,
)
from exo_graphql.operations.plan import Plan
from exo_graphql.operations.plan_hash import decode, encode
from exo_graphql.operations.proposal import signature
from exo_graphql.operations.requests import OperationRequest, requested
from tests.support.simulated_cluster import (
    ABSENT,
    HALF,
    HUGE,
    OTHER_HALF,
    A,
    B,
    SimulatedCluster,
    begun,
    operations,
    world,
)

pytestmark = pytest.mark.anyio


def _request(load: list[str], unload: list[str], **arguments: object) -> OperationRequest:
    return requested(load, unload, **arguments)  # type: ignore[arg-type]  # of the cases below


async def _plan(w: SimulatedCluster, load: list[str], unload: list[str], **arguments: object) -> Proposal:
    return await w.ops.propose(_request(load, unload, **arguments))


async def _apply(w: SimulatedCluster, plan: Proposal, key: str | None = None) -> Operation | OperationError:
    return await w.ops.apply(plan.hash, key)


def _step_nouns(plan: Proposal) -> list[str]:
    """The first word of each sentence, by which a reader tells the steps apart."""
    return [sentence.split()[0] for sentence in plan.steps]


def _with_spare_bits(text: str) -> str:
    """The same bytes in base64, with the bits set that its last character does not need."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) | (0, 0, 15, 3)[len(text) % 4]]


@pytest.mark.parametrize(("load", "unload"), [([], [A]), ([B], [A]), ([A], [])])
async def test_a_plan_made_as_soon_as_a_model_is_ready_is_not_outdated_at_once(
    load: list[str], unload: list[str]
) -> None:
    """The load ends a moment later; a plan made before that would say that it conflicts, or is followed."""
    async with world() as w:
        await w.ops.load(A)
        await w.until(lambda snapshot: snapshot.status(A).ready)
        assert w.ops.all(active=True)
        plan = await _plan(w, load, unload)
        assert w.ops.all(active=True) == ()
        assert isinstance(await _apply(w, plan), Operation)


async def test_a_load_is_done_where_the_plan_says() -> None:
    async with world() as w:
        plan = await _plan(w, ["half"], [])
        assert plan.fits
        assert plan.load_ids == (HALF,)
        assert plan.load_first
        assert plan.placements[0].fits
        assert [share.node_id for share in plan.placements[0].nodes] == list(plan.node_ids)
        assert len(plan.placements) == 4
        assert _step_nouns(plan) == ["place", "load"]
        operation = await w.end(await _apply(w, plan))
        assert operation.state.value == "SUCCEEDED"
        (instance,) = (await w.snapshot()).instances_of(HALF)
        assert {shard.node_id for shard in instance.shards} == set(plan.node_ids)


async def test_a_swap_is_done_in_the_order_of_the_plan() -> None:
    async with world() as w:
        await w.given(HALF)
        plan = await _plan(w, [OTHER_HALF], [HALF])
        assert not plan.load_first
        assert [instance.model_id for instance in plan.unload] == [HALF]
        assert _step_nouns(plan) == ["wait", "unload", "wait", "place", "load"]
        operation = await w.end(await _apply(w, plan))
        assert (operation.kind, operation.state.value) == (OperationKind.SWAP, "SUCCEEDED")
        assert await w.serving() == [OTHER_HALF]


async def test_weights_that_are_missing_are_named() -> None:
    async with world() as w:
        plan = await _plan(w, [ABSENT], [])
        assert {fetched.model_id for fetched in plan.downloads} == {ABSENT}
        assert {fetched.node_id for fetched in plan.downloads} == set(plan.node_ids)
        assert _step_nouns(plan) == ["place", "download", "load"]


async def test_a_plan_changes_nothing() -> None:
    async with world() as w:
        await w.given(A)
        before = w.ops.version
        await _plan(w, [HALF], [A])
        assert await w.listed() == [A]
        assert w.ops.all() == ()
        assert w.ops.version == before


async def test_what_does_not_fit_says_what_to_unload_and_applying_it_is_rejected_as_the_load_is() -> None:
    async with world() as w:
        await w.given(HALF)
        plan = await _plan(w, [OTHER_HALF], [])
        assert not plan.fits
        assert plan.unload_to_fit_ids == (HALF,)
        assert plan.shortfall_bytes
        assert isinstance(plan.error, InsufficientMemory)
        assert not any(view.fits for view in plan.placements)
        assert isinstance(await _apply(w, plan), InsufficientMemory)


async def test_one_hash_is_applied_once_and_the_same_plan_made_again_is_done_again() -> None:
    async with world() as w:
        plan = await _plan(w, [A], [], timeout_seconds=600)
        first = await w.end(await _apply(w, plan))
        assert begun(await _apply(w, plan)).id == first.id
        await w.end(await w.ops.unload(A))
        padded, other_bits = plan.hash + "=" * (-len(plan.hash) % 4), _with_spare_bits(plan.hash)
        assert len({plan.hash, padded, other_bits}) == 3
        for hash_ in (plan.hash, f" {plan.hash}\n", padded, other_bits):
            assert begun(await w.ops.apply(hash_)).id == first.id
        assert await w.listed() == []
        again = await _plan(w, [A], [])
        assert again.hash != plan.hash
        assert (await w.end(await _apply(w, again))).id != first.id
        assert await w.serving() == [A]


async def test_a_plan_is_outdated_when_it_would_unload_something_else() -> None:
    async with world() as w:
        await w.given(A)
        plan = await _plan(w, [B], [A])
        await w.given(A)
        answer = await _apply(w, plan)
        assert isinstance(answer, PlanOutdated)
        assert len(answer.plan.unload) == 2
        assert sorted(await w.listed()) == [A, A]
        await w.end(await _apply(w, answer.plan))
        assert await w.serving() == [B]


async def test_another_order_is_another_plan() -> None:
    async with world() as w:
        await w.given(A)
        await w.given(HALF)
        request = _request([B], [A])
        plan = await w.ops.plan(request, await w.snapshot())
        assert isinstance(plan, Plan)
        reversed_ = replace(plan, saga_state=replace(plan.saga_state, side_by_side=not plan.saga_state.side_by_side))
        assert signature(request, plan) == signature(request, replace(plan))
        assert signature(request, plan) != signature(request, reversed_)


async def test_a_plan_is_outdated_when_its_nodes_are_taken() -> None:
    async with world() as w:
        plan = await _plan(w, [HALF], [])
        await w.given(OTHER_HALF)
        answer = await _apply(w, plan)
        assert isinstance(answer, PlanOutdated)
        assert not answer.plan.fits
        assert answer.plan.unload_to_fit_ids == (OTHER_HALF,)
        assert await w.serving() == [OTHER_HALF]


async def test_a_plan_is_outdated_when_what_it_loads_is_loaded_already() -> None:
    async with world() as w:
        plan = await _plan(w, [A], [])
        await w.given(A)
        answer = await _apply(w, plan)
        assert isinstance(answer, PlanOutdated)
        assert answer.plan.load_ids == ()
        assert [instance.model_id for instance in answer.plan.adopts] == [A]


async def test_a_plan_to_unload_what_is_gone_is_outdated_and_says_so() -> None:
    async with world() as w:
        await w.given(A)
        plan = await _plan(w, [], [A])
        (instance,) = (await w.snapshot()).instances_of(A)
        w.sim.control.delete_instance(instance.id)
        await w.until(lambda snapshot: not snapshot.instances_of(A))
        answer = await _apply(w, plan)
        assert isinstance(answer, PlanOutdated)
        assert isinstance(answer.plan.error, ModelNotLoaded)
        assert isinstance(await _apply(w, answer.plan), ModelNotLoaded)


async def test_a_plan_holds_while_only_figures_change() -> None:
    """exo prefers the node with the most free memory; a few bytes must not make a plan outdated."""
    async with world() as w:
        plan = await _plan(w, [A], [])
        (chosen,) = plan.node_ids
        name = (await w.snapshot()).state.nodes[chosen].friendly_name
        assert w.sim.control.place(B, [name or ""]) is not None
        await w.until(lambda snapshot: snapshot.status(B).ready)
        assert (await _plan(w, [A], [])).node_ids != plan.node_ids
        await w.end(await _apply(w, plan))
        (instance,) = (await w.snapshot()).instances_of(A)
        assert [shard.node_id for shard in instance.shards] == [chosen]


async def test_the_same_load_under_way_is_followed() -> None:
    async with world() as w:
        operation = begun(await w.ops.load(A))
        plan = await _plan(w, [A], [])
        assert plan.fits
        assert operation.id in plan.steps[0]
        assert begun(await _apply(w, plan)).id == operation.id
        await w.end(operation)


async def test_a_conflict_is_shown_before_it_is_met() -> None:
    async with world() as w:
        operation = begun(await w.ops.load(A))
        plan = await _plan(w, [B], [A])
        assert not plan.fits
        assert isinstance(plan.error, OperationConflict)
        assert plan.error.operation_id == operation.id
        await w.end(operation)
        assert isinstance(await _apply(w, plan), PlanOutdated)


async def test_too_many_operations_are_shown_before_they_are_met() -> None:
    async with world(rules=OperationRules(max_running=1)) as w:
        operation = begun(await w.ops.load(A))
        plan = await _plan(w, [B], [])
        assert isinstance(plan.error, TooManyOperations)
        await w.end(operation)


async def test_any_server_of_the_cluster_can_apply_it() -> None:
    async with world() as w:
        plan = await _plan(w, ["half"], [])
        async with operations(w.poller) as other:
            answer = await other.apply(plan.hash)
            assert (await w.end(answer, other)).state.value == "SUCCEEDED"
        assert await w.serving() == [HALF]


async def test_a_key_of_ones_own_is_used() -> None:
    async with world() as w:
        plan = await _plan(w, [A], [])
        operation = begun(await _apply(w, plan, "mine"))
        assert w.ops.by_key("mine") == w.ops.get(operation.id)
        await w.end(operation)


async def test_what_is_no_hash_is_an_invalid_argument() -> None:
    async with world() as w:
        plan = await _plan(w, [A], [])
        mistyped = plan.hash[:30] + ("A" if plan.hash[30] != "A" else "B") + plan.hash[31:]
        for text in ("", "night", plan.hash[:-1], mistyped, "é" * 40, "A" * 20_000, plan.hash[:-1] + "\n"):
            answer = await w.ops.apply(text)
            assert isinstance(answer, InvalidArgument), text
            assert answer.argument == "hash"
        assert begun(await w.ops.apply(f" {plan.hash}\n")).load_ids == (A,)


@pytest.mark.parametrize(
    ("load", "unload", "arguments", "error"),
    [
        (["tiny"], [], {}, ModelNotFound),
        ([A], [], {"nodes": ["nowhere"]}, NodeNotFound),
        ([A], [], {"min_nodes": 9}, InvalidArgument),
        ([A], [B], {"additional": True}, InvalidArgument),
        ([], [A, B], {"instance": "i"}, InvalidArgument),
        ([], [], {}, InvalidArgument),
        ([A] * 400, [], {}, InvalidArgument),
        ([], [A], {}, ModelNotLoaded),
    ],
)
async def test_what_the_mutation_would_reject_the_plan_and_its_hash_reject_in_the_same_way(
    load: list[str], unload: list[str], arguments: dict[str, object], error: type[OperationError]
) -> None:
    async with world() as w:
        plan = await _plan(w, load, unload, **arguments)
        assert not plan.fits
        assert plan.reason
        assert isinstance(plan.error, error)
        assert len(plan.hash) < 20_000
        applied = await _apply(w, plan)
        assert isinstance(applied, error)
        assert w.ops.all() == ()
        if isinstance(plan.error, ModelNotFound):
            assert plan.error.candidates


def test_the_hash_holds_every_argument_that_a_person_may_give() -> None:
    request = OperationRequest(
        OperationKind.SWAP,
        load=("a/b", "c/d"),
        unload=("e/f",),
        instance="i",
        min_nodes=2,
        sharding=ShardingPreference.TENSOR,
        instance_type=InstanceTypePreference.MLX_JACCL,
        nodes=("n1", "n2"),
        additional=True,
        drain_seconds=0,
        timeout_seconds=60,
        attempts=3,
    )
    text = encode(request, {"a/b": ("0123456789", "abcdefghi")}, ("plan",))
    known = decode(text)
    assert known is not None
    assert known.request == request
    assert known.prefer == {"a/b": ("012345", "abcdef")}
    assert known.matches(("plan",))
    assert not known.matches(("plan", 1))


@pytest.mark.parametrize("forged", [{"deployment": "uid"}, {"instances": ("i",)}])
def test_a_hash_cannot_speak_for_a_deployment(forged: dict[str, object]) -> None:
    request = replace(OperationRequest(OperationKind.LOAD, load=("a/b",)), **forged)  # type: ignore[arg-type]
    assert decode(encode(request, {}, ())) is None


def test_a_hash_of_another_version_is_none() -> None:
    text = encode(OperationRequest(OperationKind.LOAD, load=("a/b",)), {}, ())
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert decode(base64.urlsafe_b64encode(b"\x09" + raw[1:]).decode()) is None


def test_a_hash_is_short() -> None:
    request = OperationRequest(OperationKind.LOAD, load=("mlx-community/Llama-3.2-1B-Instruct-4bit",))
    assert len(encode(request, {request.load[0]: ("0" * 32,)}, ())) <= 220


async def test_huge_models_fit_nowhere() -> None:
    async with world() as w:
        plan = await _plan(w, [HUGE], [])
        assert not plan.fits
        assert plan.unload_to_fit_ids == ()
