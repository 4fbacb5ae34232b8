"""What a resolver is given: one snapshot for the whole operation, the operations, and the time of the answer."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import strawberry

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.operations import Operation, Operations
from exo_graphql.schema.errors import ClusterUnavailableError


@dataclass(frozen=True, slots=True)
class Context:
    """One operation's view. Whatever it asks, it asks of one picture, so neighbours always agree."""

    picture: Snapshot | None
    operations: Operations
    now: datetime

    @property
    def snapshot(self) -> Snapshot:
        """The picture; raises `CLUSTER_UNAVAILABLE` while there has never been one."""
        if self.picture is None:
            raise ClusterUnavailableError
        return self.picture

    def find_operation(self, operation_id: str) -> Operation | None:
        """An operation by id."""
        return self.operations.get(operation_id)


Info = strawberry.Info[Context, None]
ContextFactory = Callable[[], Context]
