"""Views for comparisons, built by hand: nodes with so much memory, what is loaded on them, what is wanted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.memory import free_bytes
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.cluster.state import (
    Connection,
    Download,
    DownloadKind,
    Instance,
    InstanceType,
    ModelCard,
    Node,
    Runner,
    RunnerStatus,
    Shard,
    Sharding,
    State,
)
from exo_graphql.deployments.deployment import Deployment, Spec
from exo_graphql.deployments.timetable import timetable
from exo_graphql.deployments.view import View
from exo_graphql.deployments.watch import Watch
from exo_graphql.operations import Operation, OperationKind, OperationState, Step, StepState

GIB = 1 << 30
NOW = Moment(datetime(2026, 6, 22, 12, tzinfo=UTC), 10_000.0)
RAM = 16
LAYERS = 8

SIZES = {"small": 2, "large": 10, "other": 10, "wide": 24, "huge": 100}
"""GiB by model: two of 10 exclude each other on a node of 16, and 24 needs two nodes."""

Loaded = tuple[str, str, tuple[str, ...]]
"""Instance id, model, and names of its nodes."""


def snapshot(
    nodes: Sequence[str] = ("n1", "n2"),
    loaded: Sequence[Loaded] = (),
    *,
    statuses: Mapping[str, RunnerStatus] | None = None,
    unseen: Mapping[str, float] | None = None,
    lacking: Sequence[tuple[str, str]] = (),
    lacking_as: DownloadKind = DownloadKind.PENDING,
    disk: int = 500,
    stale: bool = False,
    sizes: Mapping[str, int] = MappingProxyType(SIZES),
    ram: int = RAM,
    renamed: Mapping[str, str] = MappingProxyType({}),
    joined: bool = True,
    backend: str = "MlxMetal",
    previous: Snapshot | None = None,
) -> Snapshot:
    """Nodes of `ram` GiB, all joined; every instance READY unless `statuses` (by its id) says otherwise.

    `unseen` is seconds by node; `lacking` are nodes and models whose weights are not there; `disk` and `sizes` are GiB;
    `renamed` are friendly names by id, where they are not the same.
    """
    used: dict[str, int] = dict.fromkeys(nodes, 0)
    instances: dict[str, Instance] = {}
    runners: dict[str, Runner] = {}
    for id_, model, names in loaded:
        shards = []
        for rank, name in enumerate(names):
            used[name] = used.get(name, 0) + sizes[model] * GIB // len(names)
            runner_id = f"{id_}-{rank}"
            runners[runner_id] = Runner((statuses or {}).get(id_, RunnerStatus.READY))
            begin, end = LAYERS * rank // len(names), LAYERS * (rank + 1) // len(names)
            shards.append(Shard(id_, name, runner_id, begin, end, LAYERS, rank, len(names), Sharding.PIPELINE))
        instances[id_] = Instance(id_, model, Sharding.PIPELINE, InstanceType.MLX_RING, tuple(shards))
    members = {
        name: Node(
            name,
            renamed.get(name, name),
            ram_total_bytes=ram * GIB,
            ram_available_bytes=ram * GIB - used[name],
            disk_total_bytes=1000 * GIB,
            disk_available_bytes=disk * GIB,
            backends=(backend,),
            connections=tuple(Connection(other, "10.0.0.1") for other in nodes if joined and other != name),
            last_seen=NOW.at,
            seconds_since_seen=(unseen or {}).get(name, 0.0),
        )
        for name in nodes
    }
    cards = {model: ModelCard(model, storage_bytes=size * GIB, layer_count=LAYERS) for model, size in sizes.items()}
    downloads: dict[str, dict[str, Download]] = {name: {} for name in nodes}
    for name, model in lacking:
        downloads[name][model] = Download(name, model, lacking_as, error="No route.", model=cards[model])
    state = State(members, instances, runners, downloads, cards=cards, index=100)
    source = Source("http://exo", connected=not stale)
    return advance(previous, state, NOW, source)[0]


def deployment(name: str, model: str, *, owned: Sequence[str] = (), **more: object) -> Deployment:
    """One that has adopted what it found; `more` are fields of the spec or of the deployment."""
    of_spec = {key: more.pop(key) for key in list(more) if key in Spec.__dataclass_fields__}
    spec = Spec(model, **of_spec)  # type: ignore[arg-type]
    return replace(Deployment(name, f"uid-{name}", spec, owned=tuple(owned), adopted=True), **more)  # type: ignore[arg-type]


def operation(
    *, loads: Sequence[str] = (), unloads: Sequence[str] = (), of: Deployment | None = None, begun: bool = False
) -> Operation:
    """One at work; of a person without `of`. `begun`: its step `unload` has begun."""
    made = Operation(
        "op",
        OperationKind.SWAP,
        OperationState.RUNNING,
        "At work.",
        (),
        NOW.at,
        load_ids=tuple(loads),
        unload_ids=tuple(unloads),
        deployment=None if of is None else of.uid,
    )
    if begun:
        made = made.with_step(Step("unload", StepState.RUNNING, NOW.at))
    return made


def view(shown: Snapshot, *deployments: Deployment, operations: Sequence[Operation] = (), **more: object) -> View:
    """What a comparison looks at; settled, nothing waited for. `more` are other fields of the view."""
    now = more.pop("now", NOW)
    assert isinstance(now, Moment)
    given = View(
        snapshot=shown,
        deployments=deployments,
        timetables={d.uid: timetable(d.spec, d.load_times, None, now.at) for d in deployments},
        operations=operations,
        placed=(),
        free=free_bytes(shown, margin=True),
        watch=Watch(snapshot=shown),
        fits_since={},
        fetch_at={},
        stalled=frozenset(),
        parked=frozenset(),
        not_before={},
        now=now,
    )
    return replace(given, **more)  # type: ignore[arg-type]


def later(seconds: float) -> Moment:
    """After `NOW`."""
    return Moment(NOW.at + timedelta(seconds=seconds), NOW.elapsed + seconds)
