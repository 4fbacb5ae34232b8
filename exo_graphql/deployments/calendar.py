"""The calendar: which deployments are wanted when, over the coming days, and whether they fit together. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from exo_graphql.cluster.memory import freed, instance_bytes, less
from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.cluster.placement_request import NoFit
from exo_graphql.deployments.deployment import Deployment
from exo_graphql.deployments.schedule import bend, openings, openings_a_day
from exo_graphql.deployments.status import Nodes
from exo_graphql.deployments.view import View

MAX_DAYS = 366
MAX_ENTRIES = 1_000
MAX_CHANGES = 5_000
"""Loads and unloads of one calendar. Two hundred deployments that open daily have 5,600 within two weeks."""


def most_entries(deployments: Iterable[Deployment]) -> int:
    """At most how many entries a calendar of these has, however long it is."""
    windows = {(w.cron, w.duration, w.time_zone): w for d in deployments for w in d.spec.schedule}
    return min(MAX_ENTRIES, 1 + 2 * MAX_DAYS * sum(map(openings_a_day, windows.values())))


def most_changes(deployments: Iterable[Deployment]) -> int:
    """At most how many loads and unloads a calendar of these has, however long it is, but for those of one instant."""
    return min(MAX_CHANGES, 2 * MAX_DAYS * sum(openings_a_day(w) for d in deployments for w in d.spec.schedule))


@dataclass(frozen=True, slots=True)
class Entry:
    """From `begins` until `ends` (UTC) exactly `names` are wanted. Names are of deployments.

    `reason` says which does not fit beside the others; None where they fit. `note` says how daylight saving time
    changes a window that opens at `begins`; None on an ordinary day.
    """

    begins: datetime
    ends: datetime
    names: tuple[str, ...]
    fits_together: bool
    reason: str | None
    loads: tuple[str, ...]
    unloads: tuple[str, ...]
    note: str | None


def calendar(given: View, begin: datetime, days: int) -> tuple[Entry, ...]:
    """The entries that overlap these days, in order; the first begins at `begin`.

    With very many changes it ends before these days do: after `MAX_ENTRIES`, or before more than `MAX_CHANGES` loads
    and unloads.
    """
    end = begin + timedelta(days=days)
    deployments = [deployment for deployment in given.deployments if not deployment.deleted]
    # Two hundred deployments usually have a few windows: each is computed once.
    windows = {window for deployment in deployments for window in deployment.spec.schedule}
    opened_by = {w: [(opens, closes, bend(w, opens)) for opens, closes in openings(w, begin, end)] for w in windows}
    found = {d.name: [each for window in d.spec.schedule for each in opened_by[window]] for d in deployments}
    spans = [(name, span) for name, opened in found.items() for span in _joined(opened)]
    always = begin - timedelta(seconds=1), end
    spans += [(deployment.name, always) for deployment in deployments if not deployment.spec.schedule]
    opens: defaultdict[datetime, set[str]] = defaultdict(set)
    closes: defaultdict[datetime, set[str]] = defaultdict(set)
    notes: defaultdict[datetime, list[str]] = defaultdict(list)
    for name, (opened_at, closed_at) in spans:
        opens[opened_at].add(name)
        closes[closed_at].add(name)
    for name, opened in found.items():
        for opened_at, _, bent in opened:
            if bent is not None:
                notes[opened_at].append(f"{name}: {bent}")
    together = _Together(given, deployments)
    entries: list[Entry] = []
    changes = 0
    before = names = frozenset(name for name, (opened_at, closed_at) in spans if opened_at < begin <= closed_at)
    edges = {begin, end} | {at for at in (*opens, *closes) if begin < at < end}
    for begins, ends in pairwise(sorted(edges)):
        names = names - closes[begins] | opens[begins]
        changes += len(names ^ before)
        if entries and changes > MAX_CHANGES:
            break
        reason = together.refusal(names)
        entries.append(
            Entry(
                begins,
                ends,
                tuple(sorted(names)),
                reason is None,
                reason,
                tuple(sorted(names - before)),
                tuple(sorted(before - names)),
                " ".join(notes[begins]) or None,
            )
        )
        before = names
        if len(entries) == MAX_ENTRIES:
            break
    return tuple(entries)


def _joined(opened: Iterable[tuple[datetime, datetime, str | None]]) -> Iterator[tuple[datetime, datetime]]:
    """When it is wanted: its openings joined where they overlap or touch."""
    current: tuple[datetime, datetime] | None = None
    for opens, closes in sorted((opens, closes) for opens, closes, _ in opened):
        if current is not None and opens <= current[1]:
            current = current[0], max(current[1], closes)
            continue
        if current is not None:
            yield current
        current = opens, closes
    if current is not None:
        yield current


class _Together:
    """Whether deployments fit beside each other and beside what others have loaded, in the cluster as it is now."""

    def __init__(self, given: View, deployments: Sequence[Deployment]) -> None:
        self._given = given
        self._search = PlacementSearch(given.snapshot)
        self._nodes = Nodes(given.snapshot)
        self._deployments = sorted(deployments, key=lambda d: (-d.spec.priority, d.name))
        listed = given.snapshot.state.instances
        owned = {id_ for d in given.deployments for id_ in d.owned} | {id_ for _, id_ in given.placed}
        held = [instance_bytes(listed[id_], given.snapshot.models) for id_ in owned if id_ in listed]
        self._free = freed(given.free, held)
        self._known: dict[frozenset[str], str | None] = {}

    def refusal(self, names: frozenset[str]) -> str | None:
        """Why these do not fit together; None where they do."""
        if names not in self._known:
            self._known[names] = self._find_refusal(names)
        return self._known[names]

    def _find_refusal(self, names: frozenset[str]) -> str | None:
        free = self._free
        for deployment in self._deployments:
            if deployment.name not in names:
                continue
            spec = deployment.spec
            card = self._given.snapshot.models.get(spec.model_id)
            node_ids, unknown = (None, ()) if spec.nodes is None else self._nodes.named(spec.nodes)
            if card is None or unknown:
                missing = ", ".join(unknown) or spec.model_id
                return f"{deployment.name}: the cluster does not know {missing}."
            taken: set[str] = set()
            for _ in range(spec.replicas):
                left = {node_id: size for node_id, size in free.items() if node_id not in taken}
                fit = self._search.fit(spec.placement(card, node_ids), left)
                if isinstance(fit, NoFit):
                    return f"{deployment.name} does not fit beside the others: {fit.reason}{fit.caveat}"
                taken |= set(fit.added_bytes)
                free = less(free, fit.takes)
        return None
