"""Memory arithmetic: by hand, as properties, and against exo's own placement as the simulator has it."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exo_graphql.cluster.history import History
from exo_graphql.cluster.memory import (
    MAX_SETS,
    free_bytes,
    freed,
    instance_bytes,
    less,
    shard_bytes,
    smallest_unload,
    split,
    split_layers,
    untaken_bytes,
)
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.cluster.placement_request import Fit, NoFit, PlacementRequest
from exo_graphql.cluster.readiness import read_instance
from exo_graphql.cluster.rules import DEFAULT_RULES
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.cluster.state import (
    Connection,
    Download,
    DownloadKind,
    Instance,
    InstanceType,
    ModelCard,
    Node,
    Runner,
    RunnerStatus,
    Shard,
    Sharding,
    State,
)
from tests.support.polled_cluster import START

GIB = 1 << 30
RING = (Sharding.PIPELINE, InstanceType.MLX_RING)
TENSOR = (Sharding.TENSOR, InstanceType.MLX_RING)
JACCL = (Sharding.TENSOR, InstanceType.MLX_JACCL)


def _node(
    id_: str, free: int | None, to: str, *, backends: tuple[str, ...] = ("MlxMetal",), rdma: bool = False
) -> Node:
    return Node(
        id_,
        ram_total_bytes=None if free is None else 2 * free + GIB,
        ram_available_bytes=free,
        backends=backends,
        rdma_enabled=rdma,
        connections=tuple(
            Connection(sink, ip_address="10.0.0.1", rdma_interface="en5" if rdma else None) for sink in to
        ),
    )


def _snapshot(*nodes: Node, instances: tuple[Instance, ...] = (), **rest: object) -> Snapshot:
    state = State(
        nodes={node.id: node for node in nodes},
        instances={instance.id: instance for instance in instances},
        **rest,  # type: ignore[arg-type]
    )
    instance_statuses = {i.id: read_instance(i, state, DEFAULT_RULES, unloading=frozenset()) for i in instances}
    return Snapshot(
        state,
        History(),
        instance_statuses,
        {},
        Source("http://exo"),
        DEFAULT_RULES,
        Moment(START, 0.0),
        Moment(START, 0.0),
        held=False,
        unloading={},
    )


def _ring(*free: int) -> Snapshot:
    """Nodes a, b, c, … all joined to all."""
    names = "abcdefghijkl"[: len(free)]
    return _snapshot(*(_node(n, size * GIB, names.replace(n, "")) for n, size in zip(names, free, strict=True)))


def _free(snapshot: Snapshot) -> dict[str, int]:
    return free_bytes(snapshot)


def _card(size: int, layers: int = 8, **document: Any) -> ModelCard:
    return ModelCard("m", storage_bytes=size * GIB, layer_count=layers, supports_tensor=True, document=document)


def _fit(snapshot: Snapshot, card: ModelCard, *kinds: tuple[Sharding, InstanceType], **rest: object) -> Fit | NoFit:
    return PlacementSearch(snapshot).fit(PlacementRequest(card, kinds or (RING,), **rest), _free(snapshot))  # type: ignore[arg-type]


def _shard(
    runner: str, node: str, start: int, end: int, sharding: Sharding = Sharding.PIPELINE, world: int = 2
) -> Shard:
    return Shard("i", node, runner, start, end, 8, 0, world, sharding)


# Shards


def test_a_pipeline_shard_holds_its_layers_and_a_tensor_shard_its_equal_part() -> None:
    assert shard_bytes(_shard("r", "a", 0, 3), 80) == 30
    assert shard_bytes(_shard("r", "a", 0, 8, Sharding.TENSOR, 4), 80) == 20
    assert shard_bytes(_shard("r", "a", 0, 3), None) == 0


@pytest.mark.parametrize(
    ("runner", "untaken"),
    [
        (None, 40),
        (Runner(RunnerStatus.IDLE), 40),
        (Runner(RunnerStatus.CONNECTED), 40),
        (Runner(RunnerStatus.LOADING, 1, 4), 30),
        (Runner(RunnerStatus.LOADED), 0),
        (Runner(RunnerStatus.RUNNING), 0),
        (Runner(RunnerStatus.FAILED), 40),
    ],
)
def test_a_listed_instance_still_takes_what_its_runner_has_not_loaded(runner: Runner | None, untaken: int) -> None:
    instance = Instance("i", "m", Sharding.PIPELINE, InstanceType.MLX_RING, (_shard("r", "a", 0, 4),))
    models = {"m": ModelCard("m", storage_bytes=80)}
    assert instance_bytes(instance, models) == {"a": 40}
    assert untaken_bytes(instance, models, {} if runner is None else {"r": runner}) == {"a": untaken}


def test_free_memory_is_less_what_listed_instances_will_take_and_unknown_where_not_reported() -> None:
    instance = Instance("i", "m", Sharding.PIPELINE, InstanceType.MLX_RING, (_shard("r", "a", 0, 4),))
    snapshot = _snapshot(_node("a", 10 * GIB, "b"), _node("b", None, "a"), instances=(instance,), cards={"m": _card(8)})
    assert free_bytes(snapshot) == {"a": 6 * GIB}


# Splitting


@given(st.integers(1, 200), st.lists(st.integers(0, 1 << 40), min_size=1, max_size=8))
def test_layers_are_all_given_out_and_no_node_goes_without(layers: int, free: list[int]) -> None:
    given_out = split_layers(layers, free)
    if layers < len(free) or sum(free) == 0:
        assert given_out is None
    else:
        assert given_out is not None
        assert sum(given_out) == layers
        assert min(given_out) >= 1


@given(st.lists(st.integers(1, 1 << 40), min_size=1, max_size=6), st.integers(6, 100))
def test_a_node_with_more_memory_never_gets_fewer_layers(free: list[int], layers: int) -> None:
    given_out = split_layers(layers, free)
    assert given_out is not None
    for (one, mine), (other, yours) in combinations(zip(free, given_out, strict=True), 2):
        if one > other:
            # A remainder may tip by one layer between equals, never against the order by more.
            assert mine >= yours - 1


@pytest.mark.parametrize(
    ("layers", "free", "expected"),
    [
        (8, [6, 6], [4, 4]),
        (8, [9, 3], [6, 2]),
        (10, [1, 1, 1], [4, 3, 3]),
        (4, [1000, 1, 1], [2, 1, 1]),
    ],
)
def test_layers_follow_the_free_memory(layers: int, free: list[int], expected: list[int]) -> None:
    assert split_layers(layers, free) == expected


def test_a_model_with_two_guidance_passes_runs_as_two_pipelines() -> None:
    card = _card(8, usesCfg=True)
    free = dict.fromkeys("abcd", 10 * GIB)
    # Two nodes to each pipeline, each with half of the layers: every node holds half of the model.
    assert split(card, "abcd", Sharding.PIPELINE, free) == dict.fromkeys("abcd", 4 * GIB)


# Fitting


def test_one_node_is_better_than_two_and_the_freest_is_taken() -> None:
    fit = _fit(_ring(6, 9, 7), _card(5))
    assert fit == Fit(*RING, {"b": 5 * GIB})


def test_several_nodes_together_hold_what_none_does() -> None:
    assert _fit(_ring(6, 6), _card(9)) == Fit(*RING, {"a": 9 * GIB // 2, "b": 9 * GIB // 2})


def test_the_node_that_has_the_weights_is_preferred() -> None:
    names = "ab"
    snapshot = _snapshot(
        *(_node(n, 10 * GIB + (n == "b"), names.replace(n, "")) for n in names),
        downloads={"a": {"m": Download("a", "m", DownloadKind.COMPLETED)}},
    )
    assert _fit(snapshot, _card(5)) == Fit(*RING, {"a": 5 * GIB})


def test_the_sum_of_the_cluster_is_no_group_of_nodes() -> None:
    # Two pairs without a connection between them: 20 GiB in all, 10 in each.
    snapshot = _snapshot(*(_node(n, 5 * GIB, to) for n, to in (("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"))))
    no_fit = _fit(snapshot, _card(12))
    assert isinstance(no_fit, NoFit)
    assert (no_fit.available_bytes, no_fit.shortfall_bytes) == (10 * GIB, 2 * GIB)


def test_a_ring_is_a_group_if_its_neighbours_reach_each_other_both_ways() -> None:
    both = _snapshot(*(_node(n, 5 * GIB, to) for n, to in (("a", "bc"), ("b", "ac"), ("c", "ab"))))
    fit = _fit(both, _card(12))
    assert isinstance(fit, Fit)
    assert set(fit.added_bytes) == {"a", "b", "c"}
    # exo finds the cycle, and then refuses it: "requires connectivity between neighbouring nodes".
    one_way = _snapshot(*(_node(n, 5 * GIB, to) for n, to in (("a", "b"), ("b", "c"), ("c", "a"))))
    assert isinstance(_fit(one_way, _card(12)), NoFit)
    chain = _snapshot(*(_node(n, 5 * GIB, to) for n, to in (("a", "b"), ("b", "ac"), ("c", "b"))))
    assert isinstance(_fit(chain, _card(12)), NoFit)


def test_what_fits_without_any_spare_does_not_fit() -> None:
    assert isinstance(_fit(_ring(104), _card(100)), Fit)
    no_fit = _fit(_ring(103), _card(100))
    assert isinstance(no_fit, NoFit)
    assert (no_fit.available_bytes, no_fit.shortfall_bytes) == (103 * GIB, GIB)
    # What is kept for a placement holds the margin as well.
    fit = _fit(_ring(104), _card(100))
    assert isinstance(fit, Fit)
    assert fit.takes == {"a": 104 * GIB}


def test_a_tensor_shard_that_no_small_node_can_hold_does_not_fit() -> None:
    # exo itself compares the sum alone and would place half of 40 on the node of 8.
    snapshot = _ring(64, 8)
    assert isinstance(_fit(snapshot, _card(40), TENSOR, min_nodes=2), NoFit)
    fit = _fit(snapshot, _card(40), TENSOR, RING, min_nodes=2)
    assert isinstance(fit, Fit)
    assert fit.sharding is Sharding.PIPELINE


@pytest.mark.parametrize(
    ("document", "fits"),
    [
        ({"hiddenSize": 64, "numKeyValueHeads": 4}, True),
        ({"hiddenSize": 63}, False),
        ({"hiddenSize": 64, "numKeyValueHeads": 1}, False),
        ({}, True),
    ],
)
def test_tensor_sharding_divides_evenly_or_not_at_all(document: dict[str, Any], *, fits: bool) -> None:
    assert isinstance(_fit(_ring(6, 6), _card(4, **document), TENSOR, min_nodes=2), Fit) is fits


def test_reasons_that_are_not_memory() -> None:
    metal = _ring(6, 6)
    wrong = _fit(metal, _card(4, backends=["MlxCuda"]))
    assert isinstance(wrong, NoFit)
    assert not wrong.about_memory
    assert "backend" in wrong.reason
    no_rdma = _fit(metal, _card(4), JACCL, min_nodes=2)
    assert isinstance(no_rdma, NoFit)
    assert "RDMA" in no_rdma.reason
    alone = _fit(metal, _card(4), min_nodes=3)
    assert isinstance(alone, NoFit)
    assert not alone.about_memory
    unknown = _fit(metal, ModelCard("m"))
    assert isinstance(unknown, NoFit)
    assert not unknown.about_memory


def test_jaccl_fits_where_every_pair_has_rdma() -> None:
    snapshot = _snapshot(_node("a", 6 * GIB, "b", rdma=True), _node("b", 6 * GIB, "a", rdma=True))
    assert _fit(snapshot, _card(8), JACCL, TENSOR) == Fit(*JACCL, {"a": 4 * GIB, "b": 4 * GIB})


def test_chosen_nodes_mean_exactly_these() -> None:
    snapshot = _ring(6, 6, 6)
    fit = _fit(snapshot, _card(4), node_ids=frozenset("ac"))
    assert isinstance(fit, Fit)
    assert set(fit.added_bytes) == {"a", "c"}
    small = _fit(snapshot, _card(7), node_ids=frozenset("a"))
    assert isinstance(small, NoFit)
    assert small.shortfall_bytes == GIB


@given(st.lists(st.integers(1, 64), min_size=1, max_size=5), st.integers(1, 200), st.integers(5, 60))
def test_what_fits_never_takes_more_than_a_node_has(free: list[int], size: int, layers: int) -> None:
    snapshot = _ring(*free)
    fit = _fit(snapshot, _card(size, layers), TENSOR, RING)
    if isinstance(fit, Fit):
        assert all(added <= _free(snapshot)[node] for node, added in fit.added_bytes.items())
        assert abs(sum(fit.added_bytes.values()) - size * GIB) <= len(free)
    else:
        assert fit.shortfall_bytes is not None
        assert fit.shortfall_bytes > 0


# What to unload


@given(
    st.dictionaries(st.sampled_from("pqrst"), st.dictionaries(st.sampled_from("ab"), st.integers(0, 9)), max_size=5),
    st.integers(0, 40),
)
def test_no_smaller_set_would_do(held: dict[str, dict[str, int]], needed: int) -> None:
    free = {"a": 2, "b": 3}

    def fits(after: Mapping[str, int]) -> bool:
        return sum(after.values()) >= needed

    chosen = smallest_unload(fits, free, held)
    everything_fits = fits(freed(free, held.values()))
    assert bool(chosen) == (everything_fits and not fits(free))
    if chosen:
        assert fits(freed(free, [held[name] for name in chosen]))
        for fewer in range(len(chosen)):
            for names in combinations(held, fewer):
                assert not fits(freed(free, [held[name] for name in names]))


def test_of_sets_of_one_size_the_one_that_frees_least_is_proposed() -> None:
    held = {"large": {"a": 50}, "small": {"a": 10}, "tiny": {"a": 1}}
    assert smallest_unload(lambda free: free["a"] >= 10, {"a": 0}, held) == ("small",)


def test_with_very_many_models_a_small_set_is_found_in_bounded_time() -> None:
    tried = 0

    def fits(free: Mapping[str, int]) -> bool:
        nonlocal tried
        tried += 1
        return free["a"] >= 30

    held = {f"m{number}": {"a": 1} for number in range(60)}
    assert len(smallest_unload(fits, {"a": 0}, held)) == 30
    assert tried <= MAX_SETS + 70


def test_less_and_freed_touch_only_known_nodes() -> None:
    assert freed({"a": 1}, [{"a": 2, "b": 9}]) == {"a": 3}
    assert less({"a": 5}, {"a": 2, "b": 9}) == {"a": 3}
