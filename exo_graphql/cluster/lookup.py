"""Finds a model of a snapshot by name; for a name that is like none, the models that are used most here."""

from dataclasses import replace

from exo_graphql.cluster.names import MAX_CANDIDATES, Ambiguous, Unknown, find_model
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import DownloadKind, ModelCard


def look_up(snapshot: Snapshot, name: str) -> ModelCard | Ambiguous | Unknown:
    """As `find_model`. Candidates that are not like the name are marked (`Unknown.alike`)."""
    found = find_model(snapshot.models, name)
    if isinstance(found, Unknown) and not found.candidates:
        return replace(found, candidates=most_used(snapshot), alike=False)
    return found


def most_used(snapshot: Snapshot) -> tuple[str, ...]:
    """Ids of the models that are used here: the loaded ones, the busiest first, then those with weights on nodes."""
    loaded = sorted(snapshot.loaded_models, key=lambda card: -len(snapshot.tasks_of(card.id)))
    copies: dict[str, int] = {}
    for download in snapshot.started_downloads:
        if download.kind is DownloadKind.COMPLETED:
            copies[download.model_id] = copies.get(download.model_id, 0) + 1
    fetched = sorted(copies, key=lambda model_id: (-copies[model_id], model_id))
    ids = dict.fromkeys([*(card.id for card in loaded), *(id_ for id_ in fetched if id_ in snapshot.models)])
    return tuple(ids)[:MAX_CANDIDATES]
