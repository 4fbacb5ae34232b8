"""A model card: its sizes, and the documents in which exo's API shows it."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from exo_graphql.trimmed import trimmed

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Card:
    """One model as exo's `ModelCard` describes it; sizes in bytes."""

    model_id: str
    storage_bytes: int
    layers: int
    hidden_size: int
    kv_heads: int | None
    supports_tensor: bool
    family: str
    quantization: str
    base_model: str
    capabilities: tuple[str, ...]
    reasoning_dialect: str
    context_length: int
    backends: tuple[str, ...] = ("MlxMetal", "MlxCuda", "MlxCpu")
    is_custom: bool = False

    @property
    def short_name(self) -> str:
        """The id without its organisation."""
        return self.model_id.split("/")[-1]

    @property
    def files(self) -> dict[str, int]:
        """The repository's files and their sizes in bytes: weights in parts of about 5 GB, and the small ones."""
        parts = max(1, round(self.storage_bytes / 5.2e9))
        share = self.storage_bytes // parts
        sizes = [share] * (parts - 1) + [self.storage_bytes - share * (parts - 1)]
        weights = {f"model-{i:05d}-of-{parts:05d}.safetensors": size for i, size in enumerate(sizes, 1)}
        return {"config.json": _SMALL_FILES["config.json"], **weights, **_SMALL_FILES}

    @property
    def repository_bytes(self) -> int:
        """What a download of the whole repository weighs."""
        return self.storage_bytes + sum(_SMALL_FILES.values())

    @property
    def resident_bytes(self) -> int:
        """What the loaded model occupies on all its nodes together: weights, caches and buffers."""
        return round(self.storage_bytes * 1.03)


_SMALL_FILES = {"config.json": 1_187, "tokenizer.json": 11_422_654, "tokenizer_config.json": 9_706}
"""Their sizes in bytes, beside the weights."""

_NO_SAMPLING: Document = {
    "temperature": None,
    "topP": None,
    "topK": None,
    "minP": None,
    "repetitionPenalty": None,
    "presencePenalty": None,
    "frequencyPenalty": None,
}
_FAMILY_SAMPLING: dict[str, Document] = {
    "gemma": {"temperature": 1.0, "topP": 0.95, "topK": 64},
    "glm": {"temperature": 1.0, "topP": 0.95},
    "minimax": {"temperature": 1.0, "topP": 0.95, "topK": 40},
}


@lru_cache(maxsize=2048)
def card_document(card: Card) -> Document:
    """The card as exo's `/state` writes it. Shared: never change it."""
    vision = None
    if card.family == "kimi" and "vision" in card.capabilities:
        vision = {
            "imageTokenId": 163605,
            "modelType": "kimi_vl",
            "weightsRepo": card.model_id,
            "imageToken": None,
            "processorRepo": "moonshotai/Kimi-K2.5",
        }
    return {
        "modelId": card.model_id,
        "storageSize": {"inBytes": card.storage_bytes},
        "nLayers": card.layers,
        "hiddenSize": card.hidden_size,
        "supportsTensor": card.supports_tensor,
        "numKeyValueHeads": card.kv_heads,
        "tasks": ["TextGeneration"],
        "components": None,
        "family": card.family,
        "quantization": card.quantization,
        "baseModel": card.base_model,
        "capabilities": list(card.capabilities),
        "backends": list(card.backends),
        "reasoningDialect": card.reasoning_dialect,
        "contextLength": card.context_length,
        "usesCfg": False,
        "trustRemoteCode": True,
        "isCustom": card.is_custom,
        "vision": vision,
        "samplingDefaults": {
            **_NO_SAMPLING,
            **_FAMILY_SAMPLING.get(card.family, {}),
            "thinking": None,
            "nonThinking": None,
        },
    }


@lru_cache(maxsize=2048)
def whole_shard(card: Card) -> orjson.Fragment:
    """The shard that holds the whole model, as every entry of `/state`'s `downloads` carries it."""
    return orjson.Fragment(trimmed(orjson.dumps(shard_document("Pipeline", card, 0, 1, 0, card.layers))))


def shard_document(sharding: str, card: Card, rank: int, cluster: int, start: int, end: int) -> Document:
    """One node's part of a model: layers `start` (inclusive) to `end` (exclusive)."""
    return {
        f"{sharding}ShardMetadata": {
            "modelCard": card_document(card),
            "deviceRank": rank,
            "worldSize": cluster,
            "immediateException": False,
            "shouldTimeout": None,
            "startLayer": start,
            "endLayer": end,
            "nLayers": card.layers,
        }
    }


def listing(card: Card, created: int) -> Document:
    """The card as `GET /models` lists it; `created` is a Unix time in seconds."""
    return {
        "id": card.model_id,
        "object": "model",
        "created": created,
        "owned_by": "exo",
        "hugging_face_id": card.model_id,
        "name": card.short_name,
        "description": "",
        "context_length": card.context_length,
        "tags": [],
        "storage_size_megabytes": round(card.storage_bytes / 1024**2),
        "supports_tensor": card.supports_tensor,
        "tasks": ["TextGeneration"],
        "is_custom": card.is_custom,
        "family": card.family,
        "quantization": card.quantization,
        "base_model": card.base_model,
        "capabilities": list(card.capabilities),
        "reasoning_dialect": card.reasoning_dialect,
    }
