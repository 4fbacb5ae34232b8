"""The interface to an exo cluster: read its state, send it commands.

`exo/` implements it over HTTP. Answers come as values of this package, errors as `UpstreamError`. exo's commands are
fire-and-forget: exo answers "Command received." to impossible ones too, so only a later snapshot shows whether a
command had an effect.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from exo_graphql.cluster.expectations import Expectations
from exo_graphql.cluster.loads import Loads
from exo_graphql.cluster.snapshot import Refusal, Snapshot
from exo_graphql.cluster.state import Instance, InstanceType, Sharding


class UpstreamError(Exception):
    """A request to exo failed. The message may be shown to a caller; details are in the log."""


class Unreachable(UpstreamError):
    """No exo node answered in time, or what answered was not exo. Whether exo received a command is unknown."""

    refusals: tuple[Refusal, ...] = ()
    """What each URL of exo said, where several were tried."""


class Misconfigured(Unreachable):
    """No exo node can be reached until the configuration of this server changes: its certificates, its URLs."""


class NotLeading(Unreachable):
    """This server may not act at present, so nothing was sent. Another one may, or this one again in a moment."""


class Refused(UpstreamError):
    """exo refused; the message is exo's own reason."""


@dataclass(frozen=True, slots=True)
class PlacementPreview:
    """A placement that exo would make, or its reason not to.

    `instance.document` is exo's own document with new instance and runner ids: `create` with it makes exactly this
    placement. `instance` is None where the model does not fit; then `reason` says why.
    """

    sharding: Sharding
    instance_type: InstanceType
    instance: Instance | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model on the hub, as exo finds it. None where the hub does not say."""

    id: str
    author: str | None = None
    downloads: int | None = None
    likes: int | None = None
    last_modified: str | None = None
    tags: tuple[str, ...] = ()


class Upstream(Protocol):
    """One exo cluster. Every call is bounded in time and raises only `Unreachable` or `Refused`."""

    @property
    def snapshot(self) -> Snapshot | None:
        """The newest snapshot; None before the first state."""
        ...

    async def fresh(self, max_age: float = 0.0) -> Snapshot:
        """For queries: a snapshot no older than `max_age` seconds, if one arrives within a second.

        Else the last one, however old: see its `connected`, `stale` and `observed_at`. So no operation may act on it:
        those use `read_now`. Raises `Unreachable` if there has never been a snapshot.
        """
        ...

    async def read_now(self) -> Snapshot:
        """For operations: a snapshot whose request to exo began after this call. Waits until exo answers.

        Raises `Unreachable` if exo gave no state to a request after this call, or is known not to answer: an operation
        must not act then.

        Reads are rate-limited, so that a loop cannot overload exo: about six in a row start at once, further ones at
        the interval of an operation under way. To wait for a change, use `changed`. Concurrent calls share one read.
        """
        ...

    async def changed(self, since: Snapshot | None, *, urgent: bool = False) -> Snapshot:
        """Waits for a snapshot newer than `since` and returns it. Returns after each read, even if nothing changed.

        `urgent`: the next read starts at once, within the rate limit of `read_now`. For the single wait after a
        command whose effect exo shows at once; in a loop it only uses up that limit.
        """
        ...

    def listen(self, listener: Callable[[Snapshot], None]) -> AbstractContextManager[None]:
        """Within the context, `listener` is called with each new snapshot; it must neither block nor raise."""
        ...

    def subscriber(self) -> AbstractContextManager[None]:
        """Within the context the state is read at the normal interval, and at the fast one during a transition."""
        ...

    def operation(self) -> AbstractContextManager[None]:
        """Within the context the state is read at the fast interval of an operation under way."""
        ...

    def mark_unloading(self, unloading: Mapping[str, str]) -> None:
        """Sets which instances (id → model id) this server has asked exo to delete and still waits for."""
        ...

    def mark_loads(self, loads: Loads) -> None:
        """Sets which models the operations of this server load, and which they failed to load."""
        ...

    def mark_expectations(self, expectations: Expectations) -> None:
        """Sets what the deployments of this server expect of the cluster."""
        ...

    async def preview(
        self, model_id: str, sharding: Sharding, instance_type: InstanceType, min_nodes: int
    ) -> PlacementPreview:
        """What exo's own placement would do now (`GET /instance/placement`). It considers only free memory."""
        ...

    async def previews(self, model_id: str, node_ids: Sequence[str] = ()) -> tuple[PlacementPreview, ...]:
        """Every placement that exo finds (`GET /instance/previews`); each contains all of `node_ids`."""
        ...

    async def search_hub(self, query: str, limit: int) -> tuple[HubModel, ...]:
        """Models of the hub whose id holds the text (`GET /models/search`)."""
        ...

    async def add_model(self, model_id: str) -> None:
        """Adds a model of the hub to the catalogue (`POST /models/add`)."""
        ...

    async def remove_model(self, model_id: str) -> None:
        """Removes a custom model from the catalogue (`DELETE /models/custom`); `Refused` if it is none."""
        ...

    def reread_catalogue(self) -> None:
        """Reads the catalogue again soon, rather than when it is due."""
        ...

    async def create(self, instance: Instance) -> None:
        """Creates exactly this instance (`POST /instance`)."""
        ...

    async def delete(self, instance_id: str) -> bool:
        """Deletes an instance; False if exo has none with that id (any more)."""
        ...

    async def start_download(self, node_id: str, model_id: str) -> None:
        """Starts the download of a model's weights on a node. exo accepts this even for a node that does not exist."""
        ...

    async def cancel_download(self, node_id: str, model_id: str) -> None:
        """Stops the download of a model on a node; what has arrived stays."""
        ...

    async def delete_download(self, node_id: str, model_id: str) -> None:
        """Removes the weights of a model from a node. An instance that uses them keeps running."""
        ...

    async def cancel_task(self, command_id: str) -> bool:
        """Cancels an inference by its command id; False if none of the exo nodes has it."""
        ...
