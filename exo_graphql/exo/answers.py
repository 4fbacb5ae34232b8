"""exo's answers other than the state: its catalogue and previews; and the shard that a download request contains."""

from collections.abc import Mapping

import orjson

from exo_graphql.cluster.state import InstanceType, ModelCard, Sharding
from exo_graphql.cluster.units import MIB
from exo_graphql.cluster.upstream import HubModel, PlacementPreview
from exo_graphql.exo.parse import read_instance
from exo_graphql.exo.parse.json_values import boolean, strings

# exo's own names for these in query parameters and previews.
SHARDING_WORDS = {Sharding.PIPELINE: "Pipeline", Sharding.TENSOR: "Tensor", Sharding.CFG: "Cfg"}
INSTANCE_WORDS = {InstanceType.MLX_RING: "MlxRing", InstanceType.MLX_JACCL: "MlxJaccl"}
_SHARDINGS = {word: sharding for sharding, word in SHARDING_WORDS.items()}
_INSTANCES = {word: instance_type for instance_type, word in INSTANCE_WORDS.items()}


class NotACatalogue(ValueError):
    """The body is no answer to `GET /models`."""


def parse_catalogue(body: bytes) -> Mapping[str, ModelCard]:
    """The cards of `GET /models`, by id. It has neither layers nor exo's own document; sizes are in MiB."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotACatalogue(f"not JSON: {error}") from error
    models = document.get("data") if isinstance(document, dict) else None
    if not isinstance(models, list):
        raise NotACatalogue("no list of models")
    cards = (_card(model) for model in models)
    return {card.id: card for card in cards if card is not None}


def read_preview(preview: object) -> PlacementPreview | None:
    """One entry of `GET /instance/previews`; None for one of a sharding or an engine that is unknown here."""
    if not isinstance(preview, dict):
        return None
    sharding = _SHARDINGS.get(str(preview.get("sharding")))
    instance_type = _INSTANCES.get(str(preview.get("instance_meta")))
    if sharding is None or instance_type is None:
        return None
    instance = read_instance(preview.get("instance"))
    reason = _text(preview, "error")
    if instance is None and reason is None:
        reason = "exo gave no reason."
    return PlacementPreview(sharding, instance_type, instance, reason)


def read_hub_model(found: object) -> HubModel | None:
    """One entry of `GET /models/search`; None for one without an id. exo writes "" and 0 for what it does not know."""
    if not isinstance(found, dict):
        return None
    id_ = _text(found, "id")
    if id_ is None:
        return None
    return HubModel(
        id_,
        _text(found, "author"),
        _whole(found, "downloads"),
        _whole(found, "likes"),
        _text(found, "last_modified"),
        strings(found.get("tags")) or (),
    )


def whole_model(card: ModelCard) -> Mapping[str, object] | None:
    """The shard that holds all of a model, as `POST /download/start` takes it. None without exo's own card."""
    layers = card.layer_count
    if card.document is None or layers is None:
        return None
    return {
        "PipelineShardMetadata": {
            "modelCard": card.document,
            "deviceRank": 0,
            "worldSize": 1,
            "immediateException": False,
            "shouldTimeout": None,
            "startLayer": 0,
            "endLayer": layers,
            "nLayers": layers,
        }
    }


def _card(model: object) -> ModelCard | None:
    if not isinstance(model, dict):
        return None
    id_ = _text(model, "id")
    if id_ is None:
        return None
    # exo fills in 0 and "" for what it does not know.
    size = _whole(model, "storage_size_megabytes")
    return ModelCard(
        id=id_,
        family=_text(model, "family"),
        quantization=_text(model, "quantization"),
        base_model=_text(model, "base_model"),
        storage_bytes=None if size is None else size * MIB,
        context_length=_whole(model, "context_length"),
        capabilities=strings(model.get("capabilities")) or (),
        supports_tensor=boolean(model, "supports_tensor"),
        is_custom=boolean(model, "is_custom"),
    )


def _whole(raw: Mapping[str, object], key: str) -> int | None:
    value = raw.get(key)
    return int(value) or None if isinstance(value, int | float) and 0 < value < 1 << 63 else None


def _text(raw: Mapping[str, object], key: str) -> str | None:
    value = raw.get(key)
    return value if isinstance(value, str) and value else None
