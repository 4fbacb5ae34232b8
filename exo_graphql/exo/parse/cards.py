"""Model cards, which exo repeats in every download entry and every shard: 120 models on 32 nodes are 3,840 copies."""

from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

import orjson

from exo_graphql.cluster.state import ModelCard
from exo_graphql.exo.parse.json_values import Json, boolean, integer, size, string, strings
from exo_graphql.trimmed import trimmed


def read_card(raw: object) -> ModelCard | None:
    """A model card; None for what has no model id."""
    if not isinstance(raw, dict):
        return None
    id_ = string(raw, "modelId")
    if not id_:
        return None
    return ModelCard(
        id=id_,
        family=string(raw, "family") or None,
        quantization=string(raw, "quantization") or None,
        base_model=string(raw, "baseModel") or None,
        storage_bytes=size(raw, "storageSize") or None,
        layer_count=integer(raw, "nLayers") or None,
        context_length=integer(raw, "contextLength") or None,
        capabilities=strings(raw.get("capabilities")) or (),
        supports_tensor=boolean(raw, "supportsTensor"),
        is_custom=boolean(raw, "isCustom"),
        document=raw,
    )


class CardTable:
    """Holds each card that is in use once: equal cards become one object, within a state and from state to state.

    Equal means byte for byte. Python's `==` would not do: `{"isCustom": 1} == {"isCustom": True}`, and only the
    second means that a user has added the model.
    """

    def __init__(self) -> None:
        self._cards: WeakValueDictionary[bytes, ModelCard] = WeakValueDictionary()

    def read(self, raw: object) -> ModelCard | None:
        """A model card; None for what has no model id."""
        if not isinstance(raw, dict):
            return None
        try:
            text = trimmed(orjson.dumps(raw))
        except orjson.JSONEncodeError:
            # Nested deeper than orjson writes (it reads deeper): such a card is not shared.
            return read_card(raw)
        card = self._cards.get(text)
        if card is None:
            card = read_card(raw)
            if card is not None:
                self._cards[text] = card
        return card


def shard_card(shard: Json, table: CardTable) -> ModelCard | None:
    """The card of a model in the metadata of one of its shards."""
    return table.read(shard.get("modelCard"))


def custom_ids(cards: Mapping[str, ModelCard | None] | None) -> frozenset[str] | None:
    """Models that users have added; None if exo's state does not list them."""
    return None if cards is None else frozenset(card.id for card in cards.values() if card is not None)


def all_cards(seen: Mapping[str, ModelCard], custom: Mapping[Any, ModelCard | None]) -> dict[str, ModelCard]:
    """The cards of instances and downloads, and those of `customModelCards` that no node lists yet."""
    cards = dict(seen)
    for card in custom.values():
        if card is not None:
            cards.setdefault(card.id, card)
    return cards
