"""The door to exo, as the house knows it: read a state, perform a wish.

Today `exo/` implements it over HTTP, for a live exo and for the demo alike. Whatever exo answers is told here in the
house's own terms; a wish that exo accepts has not happened yet (exo answers "Command received." to impossible ones
too), so success is only ever *seen* in a later snapshot.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from exo_graphql.cluster.expectations import Expectations
from exo_graphql.cluster.loads import Loads
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance, InstanceType, Sharding


class UpstreamError(Exception):
    """exo did not do what it was asked. The message is fit for a caller; details are in the log."""


class Unreachable(UpstreamError):
    """No exo node answered in time, or what answered was not exo. Whether a wish arrived is unknown."""


class Misconfigured(Unreachable):
    """No exo node can be reached until whoever runs this server changes what it is told: its certificates, its URLs."""


class Refused(UpstreamError):
    """exo answered and said no; the message is exo's own reason."""


@dataclass(frozen=True, slots=True)
class PlacementPreview:
    """A placement that exo would make, or its reason not to.

    `instance.document` is exo's own document with fresh instance and runner ids: handing it to `create` makes exactly
    this placement. `instance` is None where it does not fit; then `reason` says why.
    """

    sharding: Sharding
    instance_type: InstanceType
    instance: Instance | None
    reason: str | None = None


class Upstream(Protocol):
    """One exo cluster. Every call is bounded in time and raises `Unreachable` or `Refused`, nothing else."""

    @property
    def snapshot(self) -> Snapshot | None:
        """The newest picture; None before the first state."""
        ...

    async def fresh(self, max_age: float = 0.0) -> Snapshot:
        """For queries: a snapshot no older than `max_age` seconds, if one can be had within a second.

        Else the last one, however old: `connected`, `stale` and `observed_at` say what it is worth. So no operation
        may act upon it; `read_now` is for them. Raises `Unreachable` if there has never been one.
        """
        ...

    async def read_now(self) -> Snapshot:
        """A snapshot that was read for this call: the request to exo began after it, at once. Never an older one.

        This is the look that an operation acts upon. It waits as long as exo takes to answer. Raises `Unreachable`
        when exo was asked after this call and gave no state, or is known to be silent: act on nothing then.

        "At once" has a bound, so that a loop cannot wear exo out: some six reads in a row come without a pause, the
        next ones at the pace of an operation, until there is credit again. Who waits for something to *happen* uses
        `changed`. Many who wait share one read.
        """
        ...

    async def changed(self, since: Snapshot | None, *, urgent: bool = False) -> Snapshot:
        """Waits until there is a newer snapshot than `since` and returns it. Wakes at each reading, changed or not.

        `urgent`: the next read begins at once, within the same bound as `read_now`. For the one wait after an act
        whose effect exo shows at once; in a loop it only uses up the credit.
        """
        ...

    def listen(self, listener: Callable[[Snapshot], None]) -> AbstractContextManager[None]:
        """While inside, `listener` is called with each picture at once; it must neither block nor raise."""
        ...

    def subscriber(self) -> AbstractContextManager[None]:
        """While inside, somebody looks: the state is read at the pace of rest, and quicker in a transition."""
        ...

    def operation(self) -> AbstractContextManager[None]:
        """While inside, the state is read at the quicker pace of an operation under way."""
        ...

    def mark_unloading(self, unloading: Mapping[str, str]) -> None:
        """Tells the pictures which instances (id → model id) this server asked exo to delete and is not done with."""
        ...

    def mark_loads(self, loads: Loads) -> None:
        """Tells the snapshots which models this server's operations are to load, and which they could not."""
        ...

    def mark_expectations(self, expectations: Expectations) -> None:
        """Tells the snapshots what this server's deployments expect of the cluster."""
        ...

    async def preview(
        self, model_id: str, sharding: Sharding, instance_type: InstanceType, min_nodes: int
    ) -> PlacementPreview:
        """What exo's own placement would do now (`GET /instance/placement`). It looks at free memory alone."""
        ...

    async def previews(self, model_id: str, node_ids: Sequence[str] = ()) -> tuple[PlacementPreview, ...]:
        """Every placement exo can think of (`GET /instance/previews`); `node_ids` means "contains these"."""
        ...

    async def create(self, instance: Instance) -> None:
        """Asks for exactly this instance (`POST /instance`)."""
        ...

    async def delete(self, instance_id: str) -> bool:
        """Asks exo to delete an instance; False if exo knows none of that id (any more)."""
        ...

    async def start_download(self, node_id: str, model_id: str) -> None:
        """Asks a node to fetch the weights of a model. exo accepts even for a node that does not exist."""
        ...

    async def cancel_download(self, node_id: str, model_id: str) -> None:
        """Asks a node to stop fetching; what has arrived stays."""
        ...

    async def delete_download(self, node_id: str, model_id: str) -> None:
        """Asks a node to remove the weights. An instance that runs on them goes on running."""
        ...

    async def cancel_task(self, command_id: str) -> bool:
        """Cancels an inference by its command id; False if the exo nodes asked do not hold it."""
        ...
