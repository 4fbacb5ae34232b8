"""The search for a placement: the same groups as exo where all can be listed; beyond, bounded and open about it."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exo_graphql.cluster.memory import fits_into, free_bytes, split
from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.cluster.placement_request import Fit, NoFit, PlacementRequest, kind_refusal
from exo_graphql.cluster.search_budget import MAX_STEPS, SearchBudget
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import InstanceType, ModelCard, Sharding
from exo_graphql.cluster.topology import blocks
from tests.support.topologies import GIB, MEMORIES, TOPOLOGIES, Pairs, snapshot_of

RING = (Sharding.PIPELINE, InstanceType.MLX_RING)
TENSOR = (Sharding.TENSOR, InstanceType.MLX_RING)
JACCL = (Sharding.TENSOR, InstanceType.MLX_JACCL)
AUTO = (JACCL, TENSOR, RING, (Sharding.PIPELINE, InstanceType.MLX_JACCL))

# The search itself, what is under way when the budget runs out, and the group with the smallest shortfall.
MOST_STEPS = 2 * MAX_STEPS


def _card(size_gib: float, layers: int = 80, heads: int = 8) -> ModelCard:
    document = {"hiddenSize": 4096, "numKeyValueHeads": heads}
    return ModelCard(
        "m", storage_bytes=int(size_gib * GIB), layer_count=layers, supports_tensor=True, document=document
    )


def _fit(
    snapshot: Snapshot, card: ModelCard, kinds: tuple[tuple[Sharding, InstanceType], ...], **rest: object
) -> Fit | NoFit:
    return PlacementSearch(snapshot).fit(PlacementRequest(card, kinds, **rest), free_bytes(snapshot))  # type: ignore[arg-type]


# The budget


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("count", [16, 24, 32, 64])
def test_no_answer_takes_more_steps_than_its_budget(topology: str, memory: str, count: int) -> None:
    free_gib = [MEMORIES[memory](number) for number in range(count)]
    snapshot = snapshot_of(TOPOLOGIES[topology](count), free_gib)
    free = free_bytes(snapshot)
    for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.96, 1.5):
        for kinds in (AUTO, (RING,), (TENSOR,)):
            budget = SearchBudget()
            fit = PlacementSearch(snapshot).fit(PlacementRequest(_card(share * sum(free_gib)), kinds), free, budget)
            assert budget.steps <= MOST_STEPS
            if isinstance(fit, Fit):
                assert fits_into(fit.added_bytes, free)
                continue
            # A shortfall is more than nothing, unless it is the last byte of a shard.
            assert fit.shortfall_bytes is None or fit.shortfall_bytes > GIB // 100 or fit.searched is None, fit
            if share > 1:
                # Not even all nodes together have as much: nothing has to be searched to know it.
                assert fit.searched is None
                assert fit.shortfall_bytes or kinds == (TENSOR,)


@pytest.mark.parametrize(
    ("topology", "share", "nodes"),
    [
        ("complete", 0.9, 61),
        ("two switches", 0.45, 31),
        ("two switches", 0.6, None),
        ("two switches and a cable", 0.6, None),
        ("two switches and two cables", 0.45, 31),
        ("two switches, a node on both", 0.6, None),
        ("two switches, two nodes on both", 0.9, 61),
        ("ring", 0.02, 2),
        ("ring", 0.1, 64),
        ("star", 0.02, 2),
        ("star", 0.1, None),
        ("chain", 0.1, None),
        ("chain of fours", 0.05, 4),
        ("chain of fours", 0.1, None),
        ("ring with chords", 0.5, 34),
        ("bipartite", 0.5, 34),
        ("nothing", 0.02, None),
    ],
)
def test_topologies_of_real_clusters_are_searched_to_the_end(topology: str, share: float, nodes: int | None) -> None:
    snapshot = snapshot_of(TOPOLOGIES[topology](64), [16] * 64)
    fit = _fit(snapshot, _card(share * 64 * 16, layers=6400), (RING,))
    if nodes is None:
        assert isinstance(fit, NoFit)
        assert fit.searched is None
        assert fit.caveat == ""
    else:
        assert isinstance(fit, Fit), fit
        assert len(fit.added_bytes) == nodes


def test_an_uncertain_answer_says_so() -> None:
    # In a bipartite graph each ring has as many nodes of either side: to see that none fits takes long.
    snapshot = snapshot_of(TOPOLOGIES["uneven bipartite"](64), [16 + number % 5 for number in range(64)])
    budget = SearchBudget(limit=2_000)
    fit = PlacementSearch(snapshot).fit(PlacementRequest(_card(600), (RING,)), free_bytes(snapshot), budget)
    assert isinstance(fit, NoFit)
    assert budget.exhausted
    assert fit.searched
    assert f"The search stopped after {fit.searched} groups of nodes; another one may fit." in fit.caveat


def test_many_searches_under_one_budget_keep_it_together() -> None:
    snapshot = snapshot_of(TOPOLOGIES["uneven bipartite"](64), [16 + number % 5 for number in range(64)])
    groups, free, budget = PlacementSearch(snapshot), free_bytes(snapshot), SearchBudget(limit=5_000)
    for _ in range(50):
        groups.find(PlacementRequest(_card(600), AUTO), free, budget)
    assert budget.steps < 6_000


def test_a_search_in_a_thread_pauses_for_others() -> None:
    pauses: list[int] = []
    budget = SearchBudget(limit=10_000, pause=lambda: pauses.append(budget.steps))
    snapshot = snapshot_of(TOPOLOGIES["grid"](64), [8, 16, 24, 48] * 16)
    PlacementSearch(snapshot).fit(PlacementRequest(_card(420), (RING,)), free_bytes(snapshot), budget)
    assert pauses
    assert all(later - earlier < 3_000 for earlier, later in zip([0, *pauses], pauses, strict=False))


# The right answer, by trying every group


@st.composite
def _clusters(draw: st.DrawFn) -> tuple[Pairs, list[int], Pairs]:
    count = draw(st.integers(1, 6))
    possible = [(a, b) for a in range(count) for b in range(a + 1, count)]
    pairs = set(draw(st.lists(st.sampled_from(possible), unique=True))) if possible else set()
    rdma = set(draw(st.lists(st.sampled_from(sorted(pairs)), unique=True))) if pairs else set()
    return pairs, draw(st.lists(st.integers(1, 40), min_size=count, max_size=count)), rdma


def _is_group(names: tuple[str, ...], pairs: Pairs, rdma: Pairs, instance_type: InstanceType) -> bool:
    """As exo has it: a simple cycle, two nodes being one; for JACCL, RDMA between each two."""
    numbers = [int(name[1:]) for name in names]
    if len(numbers) == 1:
        return True

    def joined(edges: Pairs, a: int, b: int) -> bool:
        return (min(a, b), max(a, b)) in edges

    if instance_type is InstanceType.MLX_JACCL:
        return all(joined(rdma, a, b) for a in numbers for b in numbers if a != b)
    first, *others = numbers
    return any(
        all(joined(pairs, a, b) for a, b in zip((first, *rest), (*rest, first), strict=True))
        for rest in permutations(others)
    )


@settings(max_examples=300, deadline=None)
@given(
    _clusters(),
    st.integers(1, 120),
    st.sampled_from([(RING,), (TENSOR,), (JACCL,), AUTO, (TENSOR, RING)]),
    st.integers(1, 3),
)
def test_in_a_small_cluster_exactly_what_fits_is_found(
    cluster: tuple[Pairs, list[int], Pairs],
    size: int,
    kinds: tuple[tuple[Sharding, InstanceType], ...],
    min_nodes: int,
) -> None:
    pairs, free_gib, rdma = cluster
    snapshot = snapshot_of(pairs, free_gib, rdma)
    free, card = free_bytes(snapshot), _card(size, layers=12, heads=4)
    fit = PlacementSearch(snapshot).fit(PlacementRequest(card, kinds, min_nodes), free)
    expected: tuple[int, tuple[Sharding, InstanceType]] | None = None
    names = tuple(snapshot.state.nodes)
    masks = range(1, 1 << len(names))
    subsets = [tuple(name for i, name in enumerate(names) if mask >> i & 1) for mask in masks]
    for count in range(min_nodes, len(names) + 1):
        for kind in kinds if count > 1 else (kinds if RING in kinds else ()) and (RING,):
            fitting = [
                group
                for group in subsets
                if len(group) == count
                and kind_refusal(card, kind[0], count) is None
                and _is_group(group, pairs, rdma, kind[1])
                and _holds(card, group, kind[0], free)
            ]
            if fitting and expected is None:
                expected = count, kind
    if expected is None:
        assert isinstance(fit, NoFit), fit
        assert fit.searched is None
    else:
        assert isinstance(fit, Fit), (fit, expected)
        assert (len(fit.added_bytes), (fit.sharding, fit.instance_type)) == expected


def _holds(card: ModelCard, group: tuple[str, ...], sharding: Sharding, free: dict[str, int]) -> bool:
    added = split(card, sorted(group, key=free.__getitem__, reverse=True), sharding, free)
    return added is not None and fits_into(added, free)


def test_blocks_are_what_no_single_node_parts() -> None:
    # Two triangles that share node 2, and a tail.
    edges = [0] * 6
    for a, b in ((0, 1), (1, 2), (0, 2), (2, 3), (3, 4), (2, 4), (4, 5)):
        edges[a] |= 1 << b
        edges[b] |= 1 << a
    assert sorted(blocks(edges, 0b111111)) == [0b000111, 0b011100]
    assert blocks(edges, 0b111101) == [0b011100]
