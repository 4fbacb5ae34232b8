"""Which operation has reserved which memory, so that no two loads are given the same.

exo's own placement looks at free memory alone. Until the instance that an operation places is listed, and while what
it unloads might have to be restored, only this server knows.

Two swaps on one node of 64 GiB, of which A takes 20, B takes 20, and 24 are free:

- Swap 1, A for C (40 GiB): C fits only after the unload, into 24 + 20 = 44. While A is listed, swap 1 holds 20 and
  needs the larger of A (to restore it) and C (to place it), so it has reserved max(20, 40) - 20 = 20 of the 24 free.
- Swap 2, B for D (22 GiB), comes a second later and sees 4 free. After its own unload these are 4 + 20 = 24, so D fits.
  Without the reservation it would see 24 free and load D first; after A's unload swap 1 would have 24 - 22 + 20 = 22
  for its 40.
- If swap 2 wanted 30 GiB, it would wait only for an operation that releases memory. Swap 1 takes more than it frees,
  so swap 2 is rejected, with the shortfall of 6 GiB.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from exo_graphql.cluster.memory import free_bytes
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.operations.saga_state import SagaState


@dataclass(frozen=True, slots=True)
class Reservation:
    """The memory that one operation takes or frees, as others must count it. `order`: in which they were requested."""

    operation_id: str
    order: int
    saga_state: SagaState
    waiting: bool
    """It is PENDING: it has taken nothing yet, but is the first to get memory that becomes free."""
    missing: Mapping[str, int] = field(default_factory=dict)
    """Bytes by node that it has freed and that the nodes do not report yet."""
    model_ids: frozenset[str] = frozenset()
    """Every model that it touches: no two operations act on one at the same time."""
    message: str = ""
    """What it does now."""

    def reserved(self, snapshot: Snapshot) -> Counter[str]:
        """Free memory by node that it has reserved: for what it places, or for what it may have to restore."""
        if self.waiting:
            return Counter()
        placed = _sum(target.takes for target in self.saga_state.targets if target.adopts is None)
        leaving = _sum(removal.takes for removal in self.saga_state.removals)
        held = _sum(
            takes for instance, takes in self.saga_state.own_instances() if instance.id in snapshot.state.instances
        )
        whole = placed + leaving if self.saga_state.side_by_side else placed | leaving
        return +(whole - held)

    def still_takes(self, snapshot: Snapshot) -> Counter[str]:
        """Bytes by node that it will take from now on, until it has succeeded (or has been undone)."""
        listed = snapshot.state.instances
        if self.saga_state.undoing is not None:
            return _sum(
                removal.takes
                for removal in self.saga_state.removals
                if removal.deletion_requested
                and removal.healthy
                and (removal.restored is None or removal.restored.id not in listed)
            )
        return _sum(
            target.takes
            for target in self.saga_state.targets
            if target.adopts is None and (target.instance is None or target.instance.id not in listed)
        )

    def still_frees(self, snapshot: Snapshot) -> Counter[str]:
        """Bytes by node that it will free from now on, until it has ended."""
        listed = snapshot.state.instances
        if self.saga_state.undoing is not None:
            leaving = [t.takes for t in self.saga_state.targets if t.instance is not None and t.instance.id in listed]
        else:
            leaving = [d.takes for d in self.saga_state.removals if d.instance.id in listed]
        return _sum([*leaving, self.missing])

    def releases(self, snapshot: Snapshot) -> bool:
        """Whether anything that is taken or reserved now will be free once it has ended."""
        return bool(self.still_frees(snapshot) + self.reserved(snapshot) - self.still_takes(snapshot))


def free_now(snapshot: Snapshot, others: Sequence[Reservation], *, margin: bool = True) -> dict[str, int]:
    """Free memory by node that no other operation has reserved. `margin`: what loads takes that as well."""
    free = free_bytes(snapshot, margin=margin)
    for reservation in others:
        for node_id, size in reservation.reserved(snapshot).items():
            if node_id in free:
                free[node_id] -= size
    return free


def free_later(snapshot: Snapshot, others: Sequence[Reservation]) -> dict[str, int]:
    """Free memory by node once all of the other operations have ended."""
    free = free_bytes(snapshot, margin=True)
    for reservation in others:
        for node_id in free:
            free[node_id] += reservation.still_frees(snapshot)[node_id] - reservation.still_takes(snapshot)[node_id]
    return free


def both(now: Mapping[str, int], later: Mapping[str, int]) -> dict[str, int]:
    """What can be taken now without taking what others wait for."""
    return {node_id: min(size, later.get(node_id, size)) for node_id, size in now.items()}


def unreserved(snapshot: Snapshot, others: Sequence[Reservation]) -> dict[str, int]:
    """Free memory by node, in bytes, that no other operation has reserved, now or once all of them have ended."""
    return both(free_now(snapshot, others), free_later(snapshot, others))


def _sum(parts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total
