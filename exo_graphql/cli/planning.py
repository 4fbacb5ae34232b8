"""`models plan`: whether a model fits, and if not, what to unload."""

from collections.abc import Mapping, Sequence
from typing import Any

from exo_graphql.cli.client import Data
from exo_graphql.cli.failures import Failure
from exo_graphql.cli.session import Session

Json = Mapping[str, Any]


def find_placements(
    session: Session, model: str, *, min_nodes: int, nodes: Sequence[str] | None, unload: Sequence[str]
) -> Data:
    """Its `placements`, and in `unloadToFit` the ids of loaded models to unload so that it fits: [] if it fits now,
    None if nothing helps.

    First a single model is searched, the smallest that is enough. If there is none, all loaded models are unloaded in
    the plan and kept again one by one, the smallest first, as long as it fits. Each try is one query: with 3 loaded
    models at most 1 + 1 + 3 + 3 queries.
    """

    def placements_without(gone: Sequence[str]) -> Data:
        return session.ask("placements", model=model, minNodes=min_nodes, nodes=nodes, unload=[*unload, *gone] or None)

    now = placements_without([])
    if not now["placements"] or _fits(now):
        return {**now, "unloadToFit": []}
    # For a model that is already loaded, another copy is planned.
    loaded = sorted(session.ask("models", loaded=True)["models"], key=lambda entry: entry["storageSizeGb"] or 0)
    ids = [entry["id"] for entry in loaded]
    if not ids or not _fits(placements_without(ids)):
        return {**now, "unloadToFit": None}
    for id_ in ids:
        if _fits(placements_without([id_])):
            return {**now, "unloadToFit": [id_]}
    needed = list(ids)
    for id_ in ids:
        fewer = [other for other in needed if other != id_]
        if _fits(placements_without(fewer)):
            needed = fewer
    return {**now, "unloadToFit": needed}


def nothing_fits(model: str, found: Json) -> Failure | None:
    """Why the exit code of a plan is 1; None if the model fits."""
    if _fits(found):
        return None
    helping = found["unloadToFit"]
    suggestion: str | None
    if helping:
        one = ",".join(helping)
        suggestion = f"It would fit without {', '.join(helping)}: exo-graphql models swap {one} {model}"
    else:
        suggestion = "It would not fit even if all loaded models were unloaded." if helping is None else None
    return Failure(f"{model} does not fit now.", suggestion, "DOES_NOT_FIT")


def _fits(data: Json) -> bool:
    return any(placement["fits"] for placement in data["placements"])
