"""What a server knows of the cluster, as it is stored: an entry for each model, and one for the cluster."""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from exo_graphql.cluster.history import DownloadHistory, InstanceHistory, ModelHistory
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.past import Past
from exo_graphql.cluster.readiness import Failure, Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.storage import Entry

log = logging.getLogger(__name__)

_T = TypeVar("_T")
CLUSTER = "cluster"
_MODEL = "model:"
# Seconds. A download that goes on after a failure is written as often, and not for each byte that arrives.
_QUIET_EVERY = 10.0


class _Instance(msgspec.Struct, frozen=True, omit_defaults=True):
    phase: Phase
    was_ready: bool
    nodes: dict[str, str | None]
    attempts: dict[str, int] = {}
    failed: tuple[str, ...] = ()
    node_id: str | None = None
    failure: Failure | None = None


class _Download(msgspec.Struct, frozen=True, omit_defaults=True):
    error: str | None
    quiet_at: datetime
    most_bytes: int = 0


class _Model(msgspec.Struct, frozen=True, omit_defaults=True):
    phase: Phase
    changed_at: datetime | None = None
    failure: Failure | None = None
    gave_up: bool = False
    failed_operation_id: str | None = None
    instances: dict[str, _Instance] = {}
    downloads: dict[str, _Download] = {}
    """By node id."""


class _Cluster(msgspec.Struct, frozen=True):
    members: dict[str, str | None]
    index: int | None


_ENCODER = msgspec.json.Encoder()
_CLUSTER = msgspec.json.Decoder(_Cluster)
_MODELS = msgspec.json.Decoder(_Model)


def content(snapshot: Snapshot) -> object:
    """What the records are made of: where it is equal, they are as well. Cheaper than making them."""
    history, nodes = snapshot.history, snapshot.state.nodes
    failed = {pair: download for pair, download in history.downloads.items() if download.quiet_since is not None}
    return history.models, history.instances, failed, [(id_, node.friendly_name) for id_, node in nodes.items()]


def encode(snapshot: Snapshot) -> dict[str, bytes]:
    """The records, by the id of their entry."""
    history, nodes = snapshot.history, snapshot.state.nodes
    members = {id_: node.friendly_name for id_, node in nodes.items()}
    records: dict[str, bytes] = {}
    instances: dict[str, dict[str, _Instance]] = {}
    for id_, was in history.instances.items():
        instances.setdefault(was.model_id, {})[id_] = _Instance(
            phase=was.phase,
            was_ready=was.was_ready,
            nodes=dict(was.nodes),
            attempts=dict(was.attempts),
            failed=tuple(sorted(was.failed)),
            node_id=was.node_id,
            failure=was.failure,
        )
    downloads: dict[str, dict[str, _Download]] = {}
    for (node_id, model_id), download in history.downloads.items():
        if download.quiet_since is not None:
            ongoing = download.ongoing_bytes is not None
            quiet = snapshot.now.at - timedelta(seconds=snapshot.now.since(download.quiet_since))
            rounded = datetime.fromtimestamp(quiet.timestamp() // _QUIET_EVERY * _QUIET_EVERY, quiet.tzinfo)
            downloads.setdefault(model_id, {})[node_id] = _Download(
                download.error, rounded, 0 if ongoing else download.most_bytes
            )
    for model_id, model in history.models.items():
        records[_MODEL + model_id] = _ENCODER.encode(
            _Model(
                model.phase,
                model.changed_at,
                model.failure,
                model.gave_up,
                model.failed_operation_id,
                instances.get(model_id, {}),
                downloads.get(model_id, {}),
            )
        )
    # The last to be written: if the server is killed in between, the members are older than what is said of models.
    records[CLUSTER] = _ENCODER.encode(_Cluster(members, history.index))
    return records


def decode(entries: Iterable[Entry], now: Moment) -> Past | None:
    """What the entries say; None without the one for the cluster: then nothing was known."""
    cluster: _Cluster | None = None
    models: dict[str, ModelHistory] = {}
    instances: dict[str, InstanceHistory] = {}
    downloads: dict[tuple[str, str], DownloadHistory] = {}
    for entry in entries:
        if entry.id == CLUSTER:
            cluster = _read(_CLUSTER, entry)
            continue
        stored = _read(_MODELS, entry)
        if stored is None:
            continue
        model_id = entry.id.removeprefix(_MODEL)
        models[model_id] = _history(stored)
        instances |= {id_: _instance(model_id, each) for id_, each in stored.instances.items()}
        downloads |= {(node_id, model_id): _download(each, now) for node_id, each in stored.downloads.items()}
    return None if cluster is None else Past(cluster.members, cluster.index, models, instances, downloads)


def decode_models(entries: Iterable[Entry]) -> Mapping[str, ModelHistory]:
    """What the entries say of models, by id."""
    read = ((entry, _read(_MODELS, entry)) for entry in entries if entry.id != CLUSTER)
    return {entry.id.removeprefix(_MODEL): _history(stored) for entry, stored in read if stored is not None}


def decode_members(entries: Iterable[Entry]) -> Mapping[str, str | None]:
    """The names of the members, by id; empty where the entries do not say."""
    for entry in entries:
        if entry.id == CLUSTER:
            cluster = _read(_CLUSTER, entry)
            return {} if cluster is None else cluster.members
    return {}


def same_members(one: bytes, other: bytes) -> bool:
    """Whether two records of the cluster name the same members."""
    try:
        return _CLUSTER.decode(one).members == _CLUSTER.decode(other).members
    except msgspec.MsgspecError:
        return False


def _read(decoder: msgspec.json.Decoder[_T], entry: Entry) -> _T | None:
    try:
        return decoder.decode(entry.record)
    except msgspec.MsgspecError:
        log.warning("What was known of %s cannot be read; it is left out.", entry.id)
        return None


def _history(stored: _Model) -> ModelHistory:
    return ModelHistory(
        phase=stored.phase,
        changed_at=stored.changed_at,
        failure=stored.failure,
        gave_up=stored.gave_up,
        failed_operation_id=stored.failed_operation_id,
    )


def _instance(model_id: str, stored: _Instance) -> InstanceHistory:
    return InstanceHistory(
        model_id=model_id,
        phase=stored.phase,
        was_ready=stored.was_ready,
        node_id=stored.node_id,
        attempts=stored.attempts,
        failed=frozenset(stored.failed),
        nodes=stored.nodes,
        failure=stored.failure,
    )


def _download(stored: _Download, now: Moment) -> DownloadHistory:
    ago = max(0.0, (now.at - stored.quiet_at).total_seconds())
    return DownloadHistory(most_bytes=stored.most_bytes, error=stored.error, quiet_since=now.elapsed - ago)
