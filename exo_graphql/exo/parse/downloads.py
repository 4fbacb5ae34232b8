"""Downloads: for each node, one entry for every model card that exo knows. They are 98 % of the bytes of a state."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import is_

from exo_graphql.cluster.state import Download, DownloadKind, ModelCard
from exo_graphql.cluster.units import at_most
from exo_graphql.exo.parse.cards import CardTable, shard_card
from exo_graphql.exo.parse.json_values import (
    Json,
    first_size,
    integer,
    mapping,
    not_negative,
    string,
    tagged,
)

_KINDS = {
    "DownloadPending": DownloadKind.PENDING,
    "DownloadOngoing": DownloadKind.ONGOING,
    "DownloadCompleted": DownloadKind.COMPLETED,
    "DownloadFailed": DownloadKind.FAILED,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a node."""

    download: Download
    card: ModelCard
    """The card that the entry repeats. `download.model` is the first one of the model in the document."""

    def still_valid(self, cards: dict[str, ModelCard]) -> bool:
        """Whether the entry would be read the same, given the cards before it. Adds its own card if new."""
        return cards.setdefault(self.card.id, self.card) is self.download.model


class NodeDownloads:
    """The entries of one node: one for each item of the array, None for what names no model."""

    __slots__ = ("_ids", "_models", "by_model", "entries")

    def __init__(self, entries: Sequence[Entry | None]) -> None:
        self.entries = entries
        self.by_model: Mapping[str, Download] = _by_model(entries)
        """The downloads by model, in exo's order."""
        downloads = [entry.download for entry in entries if entry is not None]
        self._ids = [download.model_id for download in downloads]
        self._models = [download.model for download in downloads]

    def still_valid(self, cards: dict[str, ModelCard]) -> bool:
        """The same for all entries of the node."""
        # The cards of all nodes but the first are known already: saves 4,000 calls with 32 nodes.
        if all(map(is_, map(cards.get, self._ids), self._models)):
            return True
        return all(entry.still_valid(cards) for entry in self.entries if entry is not None)


def read_entry(node_id: str, raw: object, cards: dict[str, ModelCard], table: CardTable) -> Entry | None:
    """One entry of a node; None for what names no model.

    `cards` holds the first card of each model in the document, which all its downloads refer to; the entry's own card
    is added if it is the first.
    """
    tag, body = tagged(raw)
    card = shard_card(tagged(body.get("shardMetadata"))[1], table)
    if card is None:
        return None
    return Entry(_download(node_id, cards.setdefault(card.id, card), tag, body), card)


def _by_model(entries: Iterable[Entry | None]) -> dict[str, Download]:
    """The downloads by model id, the most advanced one of each.

    Until v1.0.68 exo keeps an entry for each way to shard a model, in any order: one for the shard that is downloading,
    and one for the whole model that never begins.
    """
    found: dict[str, Download] = {}
    for entry in entries:
        if entry is not None:
            download = entry.download
            other = found.get(download.model_id)
            found[download.model_id] = download if other is None else max(other, download, key=_progress)
    return found


def _progress(download: Download) -> tuple[object, ...]:
    """How advanced a download is, as a sort key."""
    return (
        _FURTHEST_LAST.index(download.kind),
        download.progress_percent or 0.0,
        download.downloaded_bytes or 0,
        download.total_bytes or 0,
        download.eta_ms or 0.0,
        download.speed or 0.0,
        download.error or "",
    )


# An unknown kind counts less than any other.
_FURTHEST_LAST = (
    DownloadKind.UNKNOWN,
    DownloadKind.PENDING,
    DownloadKind.FAILED,
    DownloadKind.ONGOING,
    DownloadKind.COMPLETED,
)


def _download(node_id: str, model: ModelCard, tag: str, body: Json) -> Download:
    kind = _KINDS.get(tag, DownloadKind.UNKNOWN)
    if kind is DownloadKind.PENDING:
        possible = first_size(body, "total", "totalBytes") or None
        waiting = at_most(first_size(body, "downloaded", "downloadedBytes"), possible)
        return Download(node_id, model.id, kind, waiting, possible, model=model)
    progress = mapping(body, "downloadProgress") if kind is DownloadKind.ONGOING else body
    total = first_size(progress, "total", "totalBytes")
    if not total and kind in (DownloadKind.ONGOING, DownloadKind.COMPLETED):
        total = model.storage_bytes
    return Download(
        node_id=node_id,
        model_id=model.id,
        kind=kind,
        downloaded_bytes=total
        if kind is DownloadKind.COMPLETED
        else at_most(first_size(progress, "downloaded", "downloadedBytes"), total),
        total_bytes=total or None,
        # exo computes both from sizes that may exceed each other: a negative value is unknown.
        speed=not_negative(progress, "speed"),
        # exo writes 0 until it has an estimate.
        eta_ms=not_negative(progress, "etaMs") or None,
        completed_files=integer(progress, "completedFiles"),
        total_files=integer(progress, "totalFiles"),
        error=string(body, "errorMessage"),
        model=model,
    )
