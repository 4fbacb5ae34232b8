"""The bodies that exo accepts: pydantic models, so that invalid bodies get exo's own answer (FastAPI's 422)."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from exo_graphql.simulator.cards import Document


class Sharding(StrEnum):
    """How a model is split."""

    Tensor = "Tensor"
    Pipeline = "Pipeline"


class InstanceMeta(StrEnum):
    """The engine's transport."""

    MlxRing = "MlxRing"
    MlxJaccl = "MlxJaccl"


class PlaceInstance(BaseModel):
    """`POST /place_instance`."""

    model_id: str
    sharding: Sharding = Sharding.Pipeline
    instance_meta: InstanceMeta = InstanceMeta.MlxRing
    min_nodes: int = 1


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid")


class _CardBody(_Wire):
    model_config = ConfigDict(extra="allow")

    model_id: str
    n_layers: int = Field(ge=1)


class _Shard(_Wire):
    model_card: _CardBody
    device_rank: int
    world_size: int
    immediate_exception: bool = False
    should_timeout: float | None = None
    start_layer: int = Field(ge=0)
    end_layer: int = Field(ge=0)
    n_layers: int = Field(ge=0)


class _CfgShard(_Shard):
    cfg_rank: int
    cfg_world_size: int = 2
    pipeline_rank: int
    pipeline_world_size: int


class _Assignments(_Wire):
    model_id: str
    runner_to_shard: dict[str, Annotated[Document, BeforeValidator(lambda value: shard_body(value))]]
    node_to_runner: dict[str, str]


class _Host(_Wire):
    ip: str
    port: int = Field(ge=0, le=65535)


class _Instance(_Wire):
    instance_id: str
    shard_assignments: _Assignments


class _Ring(_Instance):
    hosts_by_node: dict[str, list[_Host]]
    ephemeral_port: int


class _Jaccl(_Instance):
    jaccl_devices: list[list[str | None]]
    jaccl_coordinators: dict[str, str]


_SHARDS: dict[str, type[_Wire]] = {
    "PipelineShardMetadata": _Shard,
    "TensorShardMetadata": _Shard,
    "CfgShardMetadata": _CfgShard,
}
_INSTANCES: dict[str, type[_Wire]] = {"MlxRingInstance": _Ring, "MlxJacclInstance": _Jaccl}


def _tagged(value: Any, models: dict[str, type[_Wire]]) -> Document:
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in models:
        raise ValueError(f"expected one of {', '.join(models)}")
    ((tag, body),) = value.items()
    return {tag: models[tag].model_validate(body).model_dump(by_alias=True)}


def shard_body(value: Any) -> Document:
    """A tagged shard with all its fields; ValueError otherwise."""
    return _tagged(value, _SHARDS)


def instance_body(value: Any) -> Document:
    """A tagged instance with all its fields; ValueError otherwise."""
    document = _tagged(value, _INSTANCES)
    assignments = next(iter(document.values()))["shardAssignments"]
    for runner in assignments["nodeToRunner"].values():
        if runner not in assignments["runnerToShard"]:
            raise ValueError(f"Runner {runner} in node_to_runner does not exist in runner_to_shard")
    return document


class CreateInstance(BaseModel):
    """`POST /instance`."""

    instance: Annotated[Document, BeforeValidator(instance_body)]


class StartDownload(_Wire):
    """`POST /download/start`."""

    target_node_id: str
    shard_metadata: Annotated[Document, BeforeValidator(shard_body)]


class CancelDownload(_Wire):
    """`POST /download/cancel`."""

    target_node_id: str
    model_id: str


class AddModel(_Wire):
    """`POST /models/add`."""

    model_id: str


class Message(BaseModel):
    """One message of a chat; only text counts here."""

    role: str
    content: str | list[Document] | None = None

    def document(self) -> Document:
        """The message as exo keeps it in `taskParams`."""
        if isinstance(self.content, list):
            text = "\n".join(str(part["text"]) for part in self.content if "text" in part)
        else:
            text = self.content or ""
        return {"role": self.role, "content": text}


class ChatCompletion(BaseModel):
    """`POST /v1/chat/completions`."""

    model: str
    messages: list[Message]
    max_tokens: int | None = None
    stream: bool = False
