"""What interrupts an operation: `Abort` makes it turn back or end, `Parked` makes it wait for a decision."""

from exo_graphql.operations.errors import OperationError


class Abort(Exception):
    """The operation cannot continue; `error` says why."""

    def __init__(self, error: OperationError) -> None:
        super().__init__(error.message)
        self.error = error


class Parked(Exception):
    """The operation must not act on this cluster now; the message says why."""
