"""The ids of instances that ended operations had asked exo to create and that nothing wants any more.

exo cannot be fenced: it carries out what arrives, however late. For example a server asks for an instance of B and is
cut off from exo. Another one goes on with the operation, waits for the instance in vain, undoes the operation and
reports that B is not loaded. Then the request arrives. `late_instances.py` removes what it makes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from exo_graphql.operations.operation import Operation
from exo_graphql.operations.records import Record
from exo_graphql.operations.rules import OperationRules


@dataclass(frozen=True, slots=True)
class Origin:
    """The operation that drew an id."""

    operation_id: str
    unloads: bool
    """Whether it was to unload something, so that perhaps nothing serves since."""
    ended_at: datetime


class Unclaimed:
    """Learns them from the records of operations that have ended. `now` is the wall clock (UTC)."""

    def __init__(self, rules: OperationRules, now: Callable[[], datetime]) -> None:
        self._rules = rules
        self._now = now
        self._origins: dict[str, Origin] = {}
        """By id, the oldest first."""
        self._claimed: set[str] = set()
        """Ids that an operation has reported as placed or used since, and those that are left as they are."""

    def note(self, record: Record) -> None:
        """An operation that has ended. Noting it again changes nothing."""
        operation, saga_state = record.operation, record.saga_state
        ended_at = operation.finished_at
        given_up = set(saga_state.requested)
        # Those of a person's operation that adopted what came late, too.
        self._claimed |= ({t.instance_id for t in saga_state.targets} - given_up) - {None}  # type: ignore[arg-type]
        self._claimed |= {d.restored.id for d in saga_state.removals if d.restored is not None} - given_up
        if ended_at is None:
            return
        for id_ in saga_state.requested:
            self._origins.setdefault(id_, Origin(operation.id, _unloads(operation), ended_at))
        while len(self._origins) > self._rules.kept_unclaimed:
            del self._origins[next(iter(self._origins))]

    def leave(self, instance_id: str) -> None:
        """Leaves it as it is, for as long as this server runs: somebody may use it."""
        self._claimed.add(instance_id)

    def origin(self, instance_id: str) -> Origin | None:
        """Where an unclaimed id is from; None for any other, and for one that is too old to tell."""
        found = None if instance_id in self._claimed else self._origins.get(instance_id)
        if found is None or (self._now() - found.ended_at).total_seconds() > self._rules.unclaimed_seconds:
            return None
        return found


def _unloads(operation: Operation) -> bool:
    return bool(operation.unload_ids)
