"""When an operation has taken too long: its own time-out, and a time in which nothing progressed.

The two differ. A load with `timeoutSeconds: 300` ends after 300 s although its download still runs. Without a time-out
the same download may take a day, as long as no 600 s pass (`stall_seconds`) without a byte.
"""

from collections.abc import Callable

from exo_graphql.operations.abort import Abort
from exo_graphql.operations.errors import TimedOut
from exo_graphql.operations.rules import OperationRules


class Deadlines:
    """Measured on the clock of this process, in seconds. The methods `check_*` raise `Abort`."""

    def __init__(
        self, rules: OperationRules, clock: Callable[[], float], timeout_seconds: int | None, spent_seconds: float
    ) -> None:
        """`spent_seconds` is what has passed since the request by the wall clock, which may have been adjusted.

        After a restart only the rest of the time-out is left: of 300 s with 120 s spent, 180 s. A wall clock that was
        set back or forward may lengthen the wait or end it at once, but never beyond the 300 s.
        """
        self._rules = rules
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._until: float | None = None
        """When the operation's own time-out is over; None: it has none."""
        if timeout_seconds is not None:
            self._until = clock() + timeout_seconds - min(max(0.0, spent_seconds), timeout_seconds)
        self._progress_at = clock()
        """When something last progressed."""
        self._metric: tuple[object, ...] = ()
        """The last value that was compared to see whether something has progressed."""
        self._away_since: float | None = None
        """Since when exo has not answered while the operation was being undone; None while it answers."""

    def progressed(self, metric: tuple[object, ...] | None = None) -> None:
        """Something has progressed (or `metric` has changed, where given): the time without progress starts again."""
        if metric is None or metric != self._metric:
            self._metric = metric or ()
            self._progress_at = self._clock()

    def excuses_absence(self, *, answers: bool) -> bool:
        """Whether exo does not answer, and that does not count as a lack of progress: nothing can be undone without it.

        For at most `away_seconds`.
        """
        now = self._clock()
        if answers:
            self._away_since = None
            return False
        if self._away_since is None:
            self._away_since = now
        if now - self._away_since >= self._rules.away_seconds:
            return False
        self._progress_at = now
        return True

    def check_timeout(self) -> None:
        """Ends an operation whose own time-out is over."""
        if self._until is not None and self._clock() >= self._until:
            raise Abort(
                TimedOut(
                    message=f"Not done within {self._timeout_seconds} s.",
                    suggestion="Try again with a longer timeoutSeconds.",
                )
            )

    def check_progress(self) -> None:
        """Ends an operation in which nothing has progressed for `stall_seconds`."""
        if self._clock() - self._progress_at >= self._rules.stall_seconds:
            raise Abort(
                TimedOut(
                    message=f"Nothing progressed for {self._rules.stall_seconds:g} s.",
                    suggestion="See which node or download is stuck, then try again.",
                )
            )
