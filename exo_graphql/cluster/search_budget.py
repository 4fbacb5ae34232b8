"""The budget of a search for nodes: how many steps it may take, and whether that was too few.

Whether a ring of a given size exists is a hard question in general (Hamiltonian cycle), so no search runs unbounded.
A step takes about a microsecond; steps are counted instead of time, so that the same question has the same answer on
a slow machine and in a test.
"""

from collections.abc import Callable

# Steps of all searches for one answer: about 8 ms, short enough to run on the event loop.
MAX_STEPS = 8_000
# A thread lets others run about once a millisecond.
_STEPS_BETWEEN_PAUSES = 1_000


class SearchBudget:
    """Counts the steps of searches. Several searches may share one budget, which then bounds them together."""

    def __init__(self, limit: int = MAX_STEPS, pause: Callable[[], None] | None = None) -> None:
        """`pause` is called about once a millisecond, for a thread that lets others run."""
        self.limit = limit
        self.steps = 0
        """Steps taken so far. May exceed `limit` by the last one's cost."""
        self.groups = 0
        """Groups of nodes, complete or partial, that were examined."""
        self.exhausted = False
        """Whether a search ended because of the limit: its "nothing fits" is then not certain."""
        self.pause = pause
        self._paused_at = 0

    @property
    def left(self) -> int:
        """Steps that are left."""
        return max(0, self.limit - self.steps)

    def spend(self, steps: int, groups: int = 1) -> None:
        """Counts work that is about to be done."""
        self.steps += steps
        self.groups += groups
        if self.pause is not None and self.steps - self._paused_at >= _STEPS_BETWEEN_PAUSES:
            self._paused_at = self.steps
            self.pause()

    def allows(self, steps: int) -> bool:
        """Whether that many steps are left; if not, the budget counts as exhausted."""
        self.exhausted = self.exhausted or steps > self.left
        return steps <= self.left

    def add(self, other: "SearchBudget") -> None:
        """Counts what was done under another budget."""
        self.steps += other.steps
        self.groups += other.groups
        self.exhausted = self.exhausted or other.exhausted
