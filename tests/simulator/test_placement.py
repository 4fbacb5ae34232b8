"""exo's placement rules."""

import random
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from exo_graphql.simulator.cards import Card
from exo_graphql.simulator.placement import ImpossibleError, Request, place
from exo_graphql.simulator.state import Listed, StateDocument

GB = 10**9


def _card(size: int, *, layers: int = 10, **changes: Any) -> Card:
    fields: dict[str, Any] = {
        "model_id": "test/model",
        "hidden_size": 64,
        "kv_heads": 8,
        "supports_tensor": True,
        "family": "llama",
        "quantization": "4bit",
        "base_model": "Model",
        "capabilities": ("text",),
        "reasoning_dialect": "none",
        "context_length": 4096,
    }
    return Card(storage_bytes=size, layers=layers, **{**fields, **changes})


def _cluster(
    available: Mapping[str, int], *, backends: tuple[str, ...] = ("MlxCpu", "MlxMetal"), rdma: bool = False
) -> StateDocument:
    """Nodes with so much free memory, each connected with each."""
    state = StateDocument(nodes=list(available))
    for number, (node, free) in enumerate(available.items()):
        state.memory[node] = {"ramAvailable": {"inBytes": free}}
        state.backends[node] = list(backends)
        state.rdma_ctl[node] = {"enabled": rdma}
        state.network[node] = {
            "interfaces": [
                {"name": "en0", "ipAddress": f"10.0.0.{number}", "interfaceType": "ethernet"},
                {"name": "en3", "ipAddress": f"10.0.1.{number}", "interfaceType": "thunderbolt"},
            ]
        }
    for a in available:
        for number, b in enumerate(available):
            if a != b:
                edges: list[dict[str, Any]] = [
                    {"sinkMultiaddr": {"ip_address": f"10.0.{net}.{number}"}} for net in (0, 1)
                ]
                if rdma:
                    edges.append({"sourceRdmaIface": f"rdma_{b}", "sinkRdmaIface": f"rdma_{a}"})
                state.connections.setdefault(a, {})[b] = edges
    return state


def _place(state: StateDocument, card: Card, **arguments: Any) -> dict[str, Any]:
    ids = iter(range(100))
    document = place(Request(card, **arguments), state, random.Random(1), lambda: f"id-{next(ids)}")
    body: dict[str, Any] = next(iter(document.values()))
    return body


def _layers(body: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    assignments = body["shardAssignments"]
    shards = {runner: next(iter(shard.values())) for runner, shard in assignments["runnerToShard"].items()}
    return {
        node: (shards[runner]["startLayer"], shards[runner]["endLayer"])
        for node, runner in assignments["nodeToRunner"].items()
    }


def test_one_node_is_enough_if_it_has_the_memory_and_the_freest_is_taken() -> None:
    assert _layers(_place(_cluster({"a": 20 * GB, "b": 30 * GB}), _card(10 * GB))) == {"b": (0, 10)}


def test_the_fewest_nodes_whose_sum_suffices() -> None:
    body = _place(_cluster({"a": 20 * GB, "b": 30 * GB, "c": 6 * GB}), _card(35 * GB))
    assert _layers(body).keys() == {"a", "b"}


def test_layers_go_by_free_memory_the_rest_to_the_largest_remainder() -> None:
    # 10 layers over 17 : 33 -> 3.4 and 6.6 -> 3 and 7
    assert sorted(_layers(_place(_cluster({"a": 17 * GB, "b": 33 * GB}), _card(40 * GB))).items()) == [
        ("a", (7, 10)),
        ("b", (0, 7)),
    ]


def test_every_node_gets_a_layer_even_without_the_memory_for_it() -> None:
    with pytest.raises(ImpossibleError, match=r"has insufficient memory: requires 3\.73 GB for 1 layers, but only has"):
        _place(_cluster({"a": 39 * GB, "b": 1 * GB}), _card(40 * GB))


def test_requested_nodes_are_contained() -> None:
    state = _cluster({"a": 20 * GB, "b": 30 * GB})
    assert _layers(_place(state, _card(10 * GB), nodes=frozenset({"a"}))).keys() == {"a"}


def test_weights_already_there_count_before_memory() -> None:
    state = _cluster({"a": 20 * GB, "b": 30 * GB})
    state.downloads["a"] = {"test/model": Listed("DownloadCompleted", 1, 1, orjson.Fragment(b"{}"))}
    assert _layers(_place(state, _card(10 * GB))).keys() == {"a"}


def test_two_placements_count_on_the_same_memory() -> None:
    state = _cluster({"a": 12 * GB})
    first, second = _place(state, _card(10 * GB)), _place(state, _card(10 * GB))
    assert _layers(first) == _layers(second) == {"a": (0, 10)}


@pytest.mark.parametrize(
    ("card", "arguments", "message"),
    [
        (_card(100 * GB), {}, "No cycles found with sufficient memory"),
        (_card(1 * GB), {"min_nodes": 3}, "No cycles found with sufficient memory"),
        (
            _card(1 * GB, supports_tensor=False),
            {"sharding": "Tensor", "min_nodes": 2},
            "Requested Tensor sharding but this model does not support tensor parallelism: test/model",
        ),
        (
            _card(1 * GB, kv_heads=3),
            {"sharding": "Tensor", "min_nodes": 2},
            "No tensor sharding found for model with hidden_size=64, num_key_value_heads=3 across candidate cycles",
        ),
        (
            _card(1 * GB, base_model="Gemma 4 31B"),
            {"min_nodes": 2},
            "Pipeline parallelism is not supported for Gemma 4; use tensor parallelism instead.",
        ),
        (
            _card(1 * GB, model_id="mlx-community/DeepSeek-V3.1-8bit"),
            {},
            "Pipeline parallelism is not supported for DeepSeek V3.1 (8-bit)",
        ),
        (
            _card(1 * GB, backends=("Vllm",)),
            {},
            (
                "Model test/model backends ['Vllm'] cannot satisfy engine MlxRing which requires "
                "['MlxCpu', 'MlxCuda', 'MlxMetal']"
            ),
        ),
        (
            _card(1 * GB, backends=("MlxCuda",)),
            {},
            "No cycle where every node supports a backend in ['MlxCuda'] for test/model",
        ),
        (
            _card(1 * GB),
            {"meta": "MlxJaccl", "min_nodes": 2},
            "Requested RDMA (MlxJaccl) but no RDMA-connected cycles available",
        ),
        (
            _card(1 * GB, layers=1),
            {"min_nodes": 2},
            "Cannot distribute 1 layers across 2 nodes (need at least 1 layer per node)",
        ),
    ],
)
def test_the_impossible_is_refused_with_exos_message(card: Card, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ImpossibleError) as refused:
        _place(_cluster({"a": 20 * GB, "b": 20 * GB}), card, **arguments)
    assert str(refused.value) == message


def test_tensor_gives_every_node_all_layers() -> None:
    body = _place(_cluster({"a": 9 * GB, "b": 9 * GB}), _card(1 * GB), sharding="Tensor", min_nodes=2)
    assert set(_layers(body).values()) == {(0, 10)}
    assert {next(iter(shard)) for shard in body["shardAssignments"]["runnerToShard"].values()} == {
        "TensorShardMetadata"
    }


def test_tensor_on_one_node_is_a_pipeline() -> None:
    body = _place(_cluster({"a": 9 * GB}, rdma=True), _card(1 * GB), sharding="Tensor", meta="MlxJaccl")
    assert {next(iter(shard)) for shard in body["shardAssignments"]["runnerToShard"].values()} == {
        "PipelineShardMetadata"
    }
    assert "ephemeralPort" in body


def test_jaccl_names_the_devices_and_where_rank_0_listens() -> None:
    body = _place(_cluster({"a": 9 * GB, "b": 9 * GB}, rdma=True), _card(1 * GB), meta="MlxJaccl", min_nodes=2)
    first, second = body["shardAssignments"]["nodeToRunner"]
    assert body["jacclDevices"] == [[None, f"rdma_{second}"], [f"rdma_{first}", None]]
    addresses = {node: where.rsplit(":", 1)[0] for node, where in body["jacclCoordinators"].items()}
    assert addresses[first] == "0.0.0.0"
    # A coordinator is best reached over Ethernet, a ring over Thunderbolt.
    assert addresses[second].startswith("10.0.0.")


def test_a_ring_prefers_thunderbolt_and_hides_who_is_no_neighbour() -> None:
    state = _cluster({"a": 9 * GB, "b": 9 * GB, "c": 9 * GB, "d": 9 * GB})
    body = _place(state, _card(1 * GB), min_nodes=4)
    for rank, hosts in enumerate(body["hostsByNode"].values()):
        assert hosts[rank] == {"ip": "0.0.0.0", "port": body["ephemeralPort"]}
        assert hosts[(rank + 2) % 4] == {"ip": "198.51.100.1", "port": 0}
        for neighbour in (rank - 1) % 4, (rank + 1) % 4:
            assert hosts[neighbour]["ip"].startswith("10.0.1.")


def test_without_edges_both_ways_there_is_no_group() -> None:
    state = _cluster({"a": 9 * GB, "b": 9 * GB})
    del state.connections["b"]["a"]
    with pytest.raises(ImpossibleError, match="No cycles found with sufficient memory"):
        _place(state, _card(1 * GB), min_nodes=2)


def test_a_large_cluster_is_answered_though_it_has_more_rings_than_memory_holds() -> None:
    cluster = _cluster({f"n{number}": 10 * GB for number in range(32)})
    assert len(_layers(_place(cluster, _card(15 * GB)))) == 2
