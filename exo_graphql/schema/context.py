"""What a resolver is given: one snapshot for the whole operation, the operations, and the time of the answer."""

import secrets
from collections.abc import Callable
from typing import NoReturn

import strawberry

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.operations import Offload, Operation, Operations, in_thread
from exo_graphql.schema.errors import ClusterUnavailableError


class Context:
    """One operation's view. Whatever it asks, it asks of one picture, so neighbours always agree.

    It also notes what the answer depends on: one that told the time must not be told again later.
    """

    __slots__ = ("_cause", "_clock", "_now", "completed", "latest", "offload", "operations", "snapshot")

    snapshot: Snapshot
    """The picture; raises `CLUSTER_UNAVAILABLE` while there has never been one."""

    def __init__(
        self,
        snapshot: Snapshot | None,
        operations: Operations,
        clock: Callable[[], float],
        offload: Offload = in_thread,
        cause: str | None = None,
    ) -> None:
        """`offload` runs what takes long off the event loop. `cause`: why there has never been a picture, if known."""
        self._cause = cause
        self.latest = snapshot
        self.operations = operations
        self.offload = offload
        self.completed = False
        """Whether a subscription ends with this result."""
        self._clock = clock
        self._now: float | None = None
        # An attribute, since resolvers read it for each object.
        if snapshot is not None:
            self.snapshot = snapshot

    def __getattr__(self, name: str) -> NoReturn:
        """Is asked where there is no such attribute."""
        raise ClusterUnavailableError(self._cause) if name == "snapshot" else AttributeError(name)

    @property
    def now(self) -> float:
        """The time of the answer (`Moment.elapsed`), the same wherever it is asked."""
        if self._now is None:
            self._now = self._clock()
        return self._now

    @property
    def time_dependent(self) -> bool:
        """Whether the result holds the time of the answer."""
        return self._now is not None

    @property
    def version(self) -> str:
        """Changes exactly when anything but clock fields does."""
        return f"{_BOOT}.{self.snapshot.version}.{self.operations.version}"

    def complete(self) -> None:
        """The subscription ends with this result."""
        self.completed = True

    def find_operation(self, operation_id: str) -> Operation | None:
        """An operation by id."""
        return self.operations.get(operation_id)


# Versions count from 0 at each start; two starts must never agree by chance.
_BOOT = secrets.token_hex(4)

Info = strawberry.Info[Context, None]
