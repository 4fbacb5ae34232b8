"""Instances and their shards."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exo_graphql.cluster.state import Instance, InstanceLink, InstanceType, ModelCard, Shard, Sharding
from exo_graphql.exo.parse.cards import CardTable, shard_card
from exo_graphql.exo.parse.json_values import Json, integer, list_or_none, mapping, string, strings, tagged

SHARD_TAGS = {
    "PipelineShardMetadata": Sharding.PIPELINE,
    "TensorShardMetadata": Sharding.TENSOR,
    "CfgShardMetadata": Sharding.CFG,
}
INSTANCE_TAGS = {
    "MlxRingInstance": InstanceType.MLX_RING,
    "MlxJacclInstance": InstanceType.MLX_JACCL,
}


@dataclass(frozen=True, slots=True)
class ListedInstance:
    """One entry of `instances`, read."""

    instance: Instance | None
    """None if the entry is no instance."""
    cards: tuple[ModelCard, ...]
    """The cards of its shards, in exo's order."""


def read_instance(raw: object) -> Instance | None:
    """A tagged instance document, as `/instance/placement` returns it; None if it is none."""
    return read_listed(None, raw, CardTable()).instance


def read_listed(key: str | None, raw: object, table: CardTable) -> ListedInstance:
    """A tagged instance document, as `/state` lists it under the id `key`."""
    tag, body = tagged(raw)
    id_ = key or string(body, "instanceId")
    assignments = mapping(body, "shardAssignments")
    if id_ is None:
        return ListedInstance(None, ())
    shards, node_of = _assigned(assignments)
    runners = [*shards, *(runner for runner in node_of if runner not in shards)]
    read = tuple(_shard(id_, node_of.get(runner), runner, shards.get(runner)) for runner in runners)
    found = (shard_card(tagged(shard)[1], table) for shard in shards.values())
    cards = tuple(card for card in found if card is not None)
    model_id = string(assignments, "modelId") or next((card.id for card in cards), None)
    if not model_id:
        return ListedInstance(None, cards)
    instance = Instance(
        id=id_,
        model_id=model_id,
        sharding=next((shard.sharding for shard in read if shard.sharding is not None), None),
        instance_type=INSTANCE_TAGS.get(tag),
        shards=read,
        document=raw if isinstance(raw, dict) else None,
    )
    return ListedInstance(instance, cards)


def by_id(listed: Mapping[str, ListedInstance]) -> dict[str, Instance]:
    """The instances among the entries."""
    return {one.instance.id: one.instance for one in listed.values() if one.instance is not None}


def _assigned(assignments: Json) -> tuple[Json, Mapping[str, str]]:
    """The shard of each runner, and its node.

    Releases write two maps. exo's branches `zenoh-*` write one list of `[node, runner, shard]`, in the order of ranks.
    """
    listed = list_or_none(assignments, "shards")
    if listed is None:
        by_node = mapping(assignments, "nodeToRunner")
        node_of = {runner: node for node, runner in by_node.items() if isinstance(runner, str)}
        return mapping(assignments, "runnerToShard"), node_of
    shards: dict[str, Any] = {}
    nodes: dict[str, str] = {}
    for entry in listed:
        if isinstance(entry, list) and len(entry) >= 3 and isinstance(entry[1], str):
            shards[entry[1]] = entry[2]
            if isinstance(entry[0], str):
                nodes[entry[1]] = entry[0]
    return shards, nodes


def read_link(id_: str, raw: object) -> InstanceLink:
    """One entry of `instanceLinks`."""
    body = raw if isinstance(raw, dict) else {}
    return InstanceLink(id_, strings(body.get("prefillInstances")) or (), strings(body.get("decodeInstances")) or ())


def _shard(instance_id: str, node_id: str | None, runner_id: str, raw: object) -> Shard:
    tag, body = tagged(raw)
    return Shard(
        instance_id=instance_id,
        node_id=node_id,
        runner_id=runner_id,
        start_layer=integer(body, "startLayer"),
        end_layer=integer(body, "endLayer"),
        model_layers=integer(body, "nLayers"),
        rank=integer(body, "deviceRank"),
        world_size=integer(body, "worldSize"),
        sharding=SHARD_TAGS.get(tag),
    )
