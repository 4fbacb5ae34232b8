"""The calendar: which deployments are wanted when, over the coming days, and whether they fit together. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from exo_graphql.cluster.memory import freed, instance_bytes, less
from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.cluster.placement_request import NoFit
from exo_graphql.deployments.deployment import Deployment
from exo_graphql.deployments.schedule import MAX_STEPS, bend, openings
from exo_graphql.deployments.status import Nodes
from exo_graphql.deployments.view import View

MAX_DAYS = 366
MAX_ENTRIES = 1_000


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
    """The entries that overlap these days, in order; the first begins at `begin`. At most `MAX_ENTRIES`."""
    end = begin + timedelta(days=days)
    deployments = [deployment for deployment in given.deployments if not deployment.deleted]
    spans = {deployment.name: list(_spans(deployment, begin, end)) for deployment in deployments}
    edges = {begin, end} | {at for name in spans for span in spans[name] for at in span if begin < at < end}
    together = _Together(given, deployments)
    entries: list[Entry] = []
    before = frozenset(name for name, found in spans.items() if any(opens < begin for opens, _ in found))
    for begins, ends in pairwise(sorted(edges)):
        names = frozenset(
            name for name, found in spans.items() if any(opens <= begins < closes for opens, closes in found)
        )
        if entries and entries[-1].names == tuple(sorted(names)):
            begins = entries.pop().begins  # the previous entry continues
        reason = together.refusal(names)
        notes = [
            f"{deployment.name}: {bent}"
            for deployment in deployments
            for window in deployment.spec.schedule
            for opens, _ in openings(window, begins, begins + timedelta(seconds=1))
            if opens == begins and (bent := bend(window, opens)) is not None
        ]
        entries.append(
            Entry(
                begins,
                ends,
                tuple(sorted(names)),
                reason is None,
                reason,
                tuple(sorted(names - before)),
                tuple(sorted(before - names)),
                " ".join(notes) or None,
            )
        )
        before = names
        if len(entries) == MAX_ENTRIES:
            break
    return tuple(entries)


def _spans(deployment: Deployment, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """When it is wanted: its windows joined where they overlap or touch."""
    if not deployment.spec.schedule:
        yield begin - timedelta(seconds=1), end
        return
    found = sorted(span for window in deployment.spec.schedule for span in openings(window, begin, end))
    current: tuple[datetime, datetime] | None = None
    for opens, closes in found[: MAX_STEPS * len(deployment.spec.schedule)]:
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
