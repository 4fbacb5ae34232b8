"""What is ready to serve, kept in the store: a model that was lost while this server did not run is reported later."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson
from pydantic import TypeAdapter, ValidationError

from exo_graphql.cluster.history import LOST_WITH_MASTER
from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.events.event import Event, EventKind, Occurrence, Severity
from exo_graphql.storage import Entry

log = logging.getLogger(__name__)

_ENDS = frozenset({EventKind.MODEL_LOST, EventKind.MODEL_UNLOADED, EventKind.MODEL_GIVEN_UP})
_ID = "serving"


@dataclass(frozen=True, slots=True)
class Copy:
    """A ready instance: its model, and the names of its nodes by their ids."""

    model_id: str
    nodes: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Serving:
    """What was ready when this was noted, by instance id."""

    copies: Mapping[str, Copy]
    members: Mapping[str, str | None]
    """All nodes then: name by id."""
    index: int | None
    """`State.index` then."""
    at: datetime
    sequence: int
    """That of the last event before."""


def ready_copies(snapshot: Snapshot) -> dict[str, Copy]:
    """The instances that are ready, by id."""
    nodes = snapshot.state.nodes
    return {
        instance.id: Copy(
            instance.model_id,
            {
                node_id: node.friendly_name
                for shard in instance.shards
                if shard.node_id is not None
                for node_id, node in [(shard.node_id, nodes.get(shard.node_id))]
                if node is not None
            },
        )
        for instance in snapshot.state.instances.values()
        if snapshot.instance_statuses[instance.id].ready
    }


def lost_meanwhile(
    serving: Serving, snapshot: Snapshot, since: Iterable[Event], unloaded: Collection[str]
) -> Iterator[Occurrence]:
    """Models that were ready, and are gone or out of reach in the first snapshot of this process: one event a model.

    `since` are the events after `serving` was noted, which report some of them already; `unloaded` the models that
    operations of this server have unloaded since, or are unloading.
    """
    reported = {event.model_id for event in since if event.kind in _ENDS and event.sequence > serving.sequence}
    gone: dict[str, tuple[Copy, str]] = {}
    for id_, copy in serving.copies.items():
        status = snapshot.instance_statuses.get(id_)
        if status is None:
            gone.setdefault(copy.model_id, (copy, _cause(serving, copy, snapshot)))
        elif status.phase is Phase.UNREACHABLE:
            gone.setdefault(copy.model_id, (copy, status.message))
    for model_id, (copy, cause) in gone.items():
        if model_id in reported:
            continue
        if model_id in unloaded:
            message = f"Model {model_id} was unloaded by this server."
            yield Occurrence(kind=EventKind.MODEL_UNLOADED, severity=Severity.INFO, message=message, model_id=model_id)
            continue
        left = any(snapshot.instance_statuses[instance.id].ready for instance in snapshot.instances_of(model_id))
        what = f"A copy of model {model_id} was lost" if left else f"Model {model_id} was lost"
        node_id = next((id_ for id_ in copy.nodes if id_ not in snapshot.state.nodes), None)
        yield Occurrence(
            kind=EventKind.MODEL_LOST,
            severity=Severity.WARNING if left else Severity.ERROR,
            message=f"{what} while this server did not run: {cause}",
            model_id=model_id,
            node_id=node_id,
            node_name=None if node_id is None else copy.nodes[node_id],
        )


def _cause(serving: Serving, copy: Copy, snapshot: Snapshot) -> str:
    index, members = snapshot.state.index, snapshot.state.nodes
    if members.keys().isdisjoint(serving.members.keys()):
        return "exo was restarted on all nodes, and does not place its instances again."
    if index is not None and serving.index is not None and index < serving.index:
        return LOST_WITH_MASTER
    missing = [name or id_ for id_, name in copy.nodes.items() if id_ not in members]
    if missing:
        return f"{', '.join(missing)} has left the cluster or was restarted, and exo removed the instance."
    return "exo does not list it any more; another client of exo may have unloaded it."


def encode(serving: Serving) -> Entry:
    """The note as it is stored: one entry, which the next one replaces."""
    return Entry(1, _ID, active=True, record=orjson.dumps(_SERVING.dump_python(serving, mode="json")))


def decode(entries: Iterable[Entry]) -> Serving | None:
    """The stored note; None if there is none that this version can read."""
    for entry in entries:
        try:
            return _SERVING.validate_json(entry.record)
        except ValidationError:
            log.warning("What was ready before cannot be read: losses since then are not recorded.")
            return None
    return None


_SERVING = TypeAdapter(Serving)
