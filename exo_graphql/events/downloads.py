"""What happened to downloads."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from exo_graphql.cluster.error_text import one_line
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Download, DownloadKind
from exo_graphql.events.event import EventKind, Occurrence, Severity

# Seconds without a byte after which a download counts as stalled. A slow hub pauses for some 10 s at a time.
STALLED_AFTER = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """The bytes of a download under way, when the last of them arrived, and whether a stall was reported."""

    downloaded_bytes: int | None
    since: float
    reported: bool = False


_NONE: Mapping[str, Download] = {}

Stalls = Mapping[tuple[str, str], Progress]
"""The downloads under way, by node and model."""


def stalled_downloads(stalls: Stalls, snapshot: Snapshot) -> tuple[Stalls, tuple[Occurrence, ...]]:
    """The downloads under way after another snapshot, and those that have newly stalled.

    While exo does not answer, nothing is known of them: the count of seconds without a byte begins anew.
    """
    now = snapshot.now.elapsed
    after: dict[tuple[str, str], Progress] = {}
    events = []
    for download in snapshot.downloads_under_way:
        key = download.node_id, download.model_id
        was = stalls.get(key)
        if was is None or was.downloaded_bytes != download.downloaded_bytes:
            after[key] = Progress(download.downloaded_bytes, now)
        elif snapshot.stale:
            after[key] = replace(was, since=now)
        elif was.reported or now - was.since < STALLED_AFTER:
            after[key] = was
        else:
            after[key] = replace(was, reported=True)
            message = f"has not progressed for {STALLED_AFTER:g} s."
            events.append(_event(EventKind.DOWNLOAD_STALLED, Severity.WARNING, download, snapshot, message))
    return after, tuple(events)


def download_events(before: Snapshot, after: Snapshot) -> Iterator[Occurrence]:
    """Downloads that started, were completed or failed, of nodes that both snapshots list.

    A node that joins lists everything on its disk, which it downloaded earlier: that makes no events. Neither does a
    new entry of a complete download (some are only listed once the disk was read), but one under way or failed does.
    """
    for node_id, entries in after.state.downloads.items():
        earlier = before.state.downloads.get(node_id, _NONE)
        # Unchanged entries are the same object: of 4,000 downloads only a few are compared.
        if earlier is entries or node_id not in after.state.nodes or node_id not in before.state.nodes:
            continue
        for model_id, download in entries.items():
            was = earlier.get(model_id)
            if was is download or (was is not None and was.kind is download.kind):
                continue
            if was is None and download.kind is DownloadKind.COMPLETED:
                continue
            event = _change(download, after)
            if event is not None:
                yield event


def _change(now: Download, after: Snapshot) -> Occurrence | None:
    match now.kind:
        case DownloadKind.ONGOING:
            return _event(EventKind.DOWNLOAD_STARTED, Severity.INFO, now, after, "has started.")
        case DownloadKind.COMPLETED:
            return _event(EventKind.DOWNLOAD_COMPLETED, Severity.INFO, now, after, "is complete.")
        case DownloadKind.FAILED:
            reason = one_line(now.error) if now.error else "exo gives no reason."
            return _event(EventKind.DOWNLOAD_FAILED, Severity.ERROR, now, after, f"failed: {reason}")
        case _:
            return None


def _event(kind: EventKind, severity: Severity, download: Download, snapshot: Snapshot, what: str) -> Occurrence:
    node = snapshot.state.nodes[download.node_id]
    return Occurrence(
        kind=kind,
        severity=severity,
        message=f"The download of model {download.model_id} on node {node.friendly_name or node.id} {what}",
        model_id=download.model_id,
        node_id=node.id,
        node_name=node.friendly_name,
    )
