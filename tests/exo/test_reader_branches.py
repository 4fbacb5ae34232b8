"""What unmerged branches of exo write, read from whole states."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.state import InstanceType, Shard, Sharding
from exo_graphql.exo.parse import read_instance, read_state
from tests.support.documents import snapshot_of

DATA = Path(__file__).parents[1] / "data" / "cases"
ID = "ea8bf9ef-2bd5-4c19-aa41-0951f007ec19"
RUNNER = "ca598c9d-51a2-4ba4-8019-9ef878f38b28"
NODE = "8557841776c09c11bb883bc31d6ad4e4"


def zenoh() -> dict[str, Any]:
    """A state as the branches `zenoh-*` write it: one list of shards, and no command ids."""
    document: dict[str, Any] = json.loads(gzip.decompress((DATA / "zenoh-branch-shards-list.json.gz").read_bytes()))
    return document


def test_a_list_of_shards_is_read_as_the_two_maps_are() -> None:
    (instance,) = read_state(zenoh()).instances.values()
    assert (instance.id, instance.model_id) == (ID, "rig/six-e")
    assert (instance.sharding, instance.instance_type) == (Sharding.PIPELINE, InstanceType.MLX_RING)
    assert instance.shards == (Shard(ID, NODE, RUNNER, 0, 8, 8, 0, 1, Sharding.PIPELINE),)
    assert instance.document == zenoh()["instances"][ID], "exo's own document is created again"


def test_the_readiness_of_such_an_instance_is_that_of_its_runners() -> None:
    state = zenoh()
    snapshot = snapshot_of(state)
    (status,) = (snapshot.status(card.id) for card in snapshot.loaded_models)
    report = next(iter(state["runners"][RUNNER]))
    assert status.phase is (Phase.READY if report == "RunnerReady" else status.phase)
    assert status.node_ids == (NODE,)
    state["runners"][RUNNER] = {"RunnerReady": {"prefillServerPort": None}}
    assert snapshot_of(state).status("rig/six-e").ready
    state["runners"][RUNNER] = {"RunnerLoading": {"layersLoaded": 2, "totalLayers": 8}}
    loading = snapshot_of(state).status("rig/six-e")
    assert (loading.phase, loading.progress_percent) == (Phase.LOADING, 25.0)


def test_several_shards_keep_their_order_and_their_nodes() -> None:
    def shard(rank: int) -> dict[str, Any]:
        body = {"modelCard": {"modelId": "m", "nLayers": 8}, "deviceRank": rank, "worldSize": 2, "nLayers": 8}
        return {"TensorShardMetadata": {**body, "startLayer": 0, "endLayer": 8}}

    shards = [["n2", "r2", shard(0)], ["n1", "r1", shard(1)]]
    document = {"MlxJacclInstance": {"instanceId": "i", "shardAssignments": {"modelId": "m", "shards": shards}}}
    instance = read_instance(document)
    assert instance is not None
    assert [(s.node_id, s.runner_id, s.rank) for s in instance.shards] == [("n2", "r2", 0), ("n1", "r1", 1)]
    assert (instance.sharding, instance.instance_type) == (Sharding.TENSOR, InstanceType.MLX_JACCL)


@pytest.mark.parametrize(
    ("entry", "shards"),
    [
        (None, []),
        ([], []),
        (["n1"], []),
        (["n1", 7, {}], []),
        ([None, "r1", {}], [(None, "r1")]),
        (["n1", "r1", None, "more"], [("n1", "r1")]),
        ({"nodeId": "n1"}, []),
    ],
)
def test_an_entry_that_is_no_shard_is_left_out(entry: Any, shards: list[tuple[str | None, str]]) -> None:
    document = {"MlxRingInstance": {"instanceId": "i", "shardAssignments": {"modelId": "m", "shards": [entry]}}}
    instance = read_instance(document)
    assert instance is not None
    assert [(s.node_id, s.runner_id) for s in instance.shards] == shards
