"""The models of a cluster: which ones exist, and which nodes hold them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from exo_graphql.cluster.state import Instance, ModelCard, State


def known_models(state: State, catalogue: Mapping[str, ModelCard]) -> dict[str, ModelCard]:
    """Every model of the catalogue and the state by id, sorted by id without regard to case."""
    known = {id_: card for id_, card in {**catalogue, **state.cards}.items() if not _removed(card, state, catalogue)}
    for instance in state.instances.values():
        id_ = instance.model_id
        known.setdefault(id_, state.cards.get(id_) or ModelCard(id_))
    return {id_: known[id_] for id_ in sorted(known, key=lambda id_: (id_.lower(), id_))}


def models_by_node(
    models: Iterable[ModelCard], instances_by_model: Mapping[str, Sequence[Instance]]
) -> dict[str, tuple[ModelCard, ...]]:
    """The loaded models with a shard on a node, by node id."""
    found: defaultdict[str, dict[str, ModelCard]] = defaultdict(dict)
    for card in models:
        for instance in instances_by_model[card.id]:
            for shard in instance.shards:
                if shard.node_id is not None:
                    found[shard.node_id][card.id] = card
    return {node_id: tuple(cards.values()) for node_id, cards in found.items()}


def _removed(card: ModelCard, state: State, catalogue: Mapping[str, ModelCard]) -> bool:
    """Whether a user has added the card and removed it again: the nodes still list it among their downloads."""
    if not card.is_custom:
        return False
    if state.custom_ids is not None:
        return card.id not in state.custom_ids
    # Until v1.0.71 the state does not list the cards of users; the catalogue does, once it has been read.
    return bool(catalogue) and card.id not in catalogue
