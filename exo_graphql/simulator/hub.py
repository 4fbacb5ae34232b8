"""The model hub that the simulated exo searches: a few models that are in no catalogue, and what is in it."""

from collections.abc import Iterable
from dataclasses import replace

from exo_graphql.simulator.cards import Card, Document

_TEMPLATE = Card(
    model_id="",
    storage_bytes=0,
    layers=32,
    hidden_size=3072,
    kv_heads=8,
    supports_tensor=False,
    family="",
    quantization="",
    base_model="",
    capabilities=("text",),
    reasoning_dialect="none",
    context_length=131_072,
    is_custom=True,
)
HUB = tuple(
    replace(_TEMPLATE, model_id=model_id, storage_bytes=size)
    for model_id, size in (
        ("mlx-community/Phi-4-mini-instruct-4bit", 2_160_000_000),
        ("mlx-community/SmolLM3-3B-4bit", 1_730_000_000),
        ("mlx-community/Mistral-Small-3.2-24B-Instruct-2506-4bit", 13_260_000_000),
        ("ibm-granite/granite-4.0-h-small-mlx", 18_100_000_000),
    )
)
"""As exo makes cards of them: with the sizes, and little else that it could know."""


def search(query: str, limit: int, known: Iterable[str]) -> list[Document]:
    """What `/models/search` answers: mlx-community's models, or if none is found, all others."""
    ids = dict.fromkeys([*(card.model_id for card in HUB), *known])
    found = [id_ for id_ in ids if query.lower() in id_.lower()]
    first = [id_ for id_ in found if id_.startswith("mlx-community/")]
    return [_result(id_, rank) for rank, id_ in enumerate((first or found)[:limit])]


def _result(model_id: str, rank: int) -> Document:
    return {
        "id": model_id,
        "author": model_id.partition("/")[0],
        "downloads": 50_000 // (rank + 1),
        "likes": 40 // (rank + 1),
        "last_modified": "2026-05-04 09:12:31+00:00",
        "tags": ["mlx", "safetensors", "text-generation"],
    }
