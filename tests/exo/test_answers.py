"""exo's catalogue and placement previews, by the answers of a real exo."""

import json
from pathlib import Path
from typing import Any

import pytest

from exo_graphql.cluster.state import InstanceType, ModelCard, Sharding
from exo_graphql.exo.answers import NotACatalogue, parse_catalogue, read_preview, whole_model
from exo_graphql.exo.parse import read_card

ANSWERS: dict[str, Any] = json.loads((Path(__file__).parent.parent / "data" / "answers.json").read_text())


def catalogue(*models: object) -> bytes:
    return json.dumps({"object": "list", "data": models}).encode()


def test_a_catalogue_is_read_with_its_sizes_in_bytes() -> None:
    model = {
        "id": "mlx-community/Llama-3.1-Nemotron-Nano-4B-v1.1-4bit",
        "context_length": 131072,
        "storage_size_megabytes": 2421,
        "supports_tensor": True,
        "is_custom": False,
        "family": "llama",
        "quantization": "4bit",
        "base_model": "NVIDIA Llama-3.1-Nemotron-Nano-4B-v1.1",
        "capabilities": ["text"],
    }
    assert parse_catalogue(catalogue(model)) == {
        "mlx-community/Llama-3.1-Nemotron-Nano-4B-v1.1-4bit": ModelCard(
            id="mlx-community/Llama-3.1-Nemotron-Nano-4B-v1.1-4bit",
            family="llama",
            quantization="4bit",
            base_model="NVIDIA Llama-3.1-Nemotron-Nano-4B-v1.1",
            storage_bytes=2421 * 1024 * 1024,
            layer_count=None,
            context_length=131072,
            capabilities=("text",),
            supports_tensor=True,
            is_custom=False,
        )
    }


def test_every_model_of_a_real_catalogue_is_read() -> None:
    answer = ANSWERS["models"]["answer"]
    cards = parse_catalogue(json.dumps(answer).encode())
    assert list(cards) == [model["id"] for model in answer["data"]]
    assert all(card.storage_bytes and card.family and card.quantization for card in cards.values())


def test_what_a_catalogue_does_not_hold_is_unknown() -> None:
    empty = {"id": "a/b", "context_length": 0, "storage_size_megabytes": 0, "family": "", "capabilities": None}
    assert parse_catalogue(catalogue(empty)) == {"a/b": ModelCard("a/b")}


@pytest.mark.parametrize(
    "odd",
    [None, 3, {}, {"id": ""}, {"id": 7}],
)
def test_an_entry_without_an_id_is_left_out(odd: object) -> None:
    assert list(parse_catalogue(catalogue(odd, {"id": "a/b"}))) == ["a/b"]


def test_values_of_another_type_are_unknown() -> None:
    odd = {
        "id": "a/b",
        "context_length": "long",
        "storage_size_megabytes": 1e300,
        "family": 3,
        "supports_tensor": "yes",
        "capabilities": [1, "text"],
    }
    assert parse_catalogue(catalogue(odd)) == {"a/b": ModelCard("a/b", capabilities=("text",))}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"data"', b"{}", b'{"data": {}}'])
def test_what_is_no_catalogue_is_an_error(body: bytes) -> None:
    with pytest.raises(NotACatalogue):
        parse_catalogue(body)


def test_previews_are_placements_or_reasons() -> None:
    previews = [read_preview(entry) for entry in ANSWERS["previews"]["answer"]["previews"]]
    assert [
        (
            preview.sharding,
            preview.instance_type,
            len(preview.instance.shards) if preview.instance else None,
            preview.reason,
        )
        for preview in previews
        if preview is not None
    ] == [
        (Sharding.PIPELINE, InstanceType.MLX_RING, 1, None),
        (Sharding.PIPELINE, InstanceType.MLX_RING, 2, None),
        (
            Sharding.PIPELINE,
            InstanceType.MLX_JACCL,
            None,
            "No cycle where every node supports a backend in ['MlxMetal'] for rig/tiny-qwen-b",
        ),
        (Sharding.TENSOR, InstanceType.MLX_RING, 1, None),
        (Sharding.TENSOR, InstanceType.MLX_RING, 2, None),
        (
            Sharding.TENSOR,
            InstanceType.MLX_JACCL,
            None,
            "No cycle where every node supports a backend in ['MlxMetal'] for rig/tiny-qwen-b",
        ),
    ]


def test_a_preview_holds_exos_own_document() -> None:
    entry = ANSWERS["previews"]["answer"]["previews"][0]
    preview = read_preview(entry)
    assert preview is not None
    assert preview.instance is not None
    assert preview.instance.document == entry["instance"]


@pytest.mark.parametrize("preview", [None, {}, {"sharding": "Sliced", "instance_meta": "MlxRing"}, {"sharding": []}])
def test_a_preview_of_an_unknown_kind_is_left_out(preview: object) -> None:
    assert read_preview(preview) is None


def test_a_preview_with_neither_instance_nor_reason_gives_a_reason() -> None:
    preview = read_preview({"sharding": "Tensor", "instance_meta": "MlxJaccl", "instance": None, "error": None})
    assert preview is not None
    assert (preview.instance, preview.reason) == (None, "exo gave no reason.")


def test_the_shard_of_a_whole_model_is_the_one_exo_took() -> None:
    body = ANSWERS["download_start"]["body"]
    card = read_card(body["shard_metadata"]["PipelineShardMetadata"]["modelCard"])
    assert card is not None
    assert whole_model(card) == body["shard_metadata"]


def test_a_card_of_the_catalogue_alone_makes_no_shard() -> None:
    assert whole_model(ModelCard("a/b", layer_count=8)) is None
    assert whole_model(ModelCard("a/b", document={"modelId": "a/b"})) is None
