"""The public enums: those of `cluster/`, with a description for each value."""

from enum import Enum, unique
from typing import TypeVar

import strawberry

from exo_graphql.cluster.downloads import DownloadStatus
from exo_graphql.cluster.links import LinkMedium, LinkStatus
from exo_graphql.cluster.readiness import NodeStatus, Phase
from exo_graphql.cluster.state import InstanceType, RunnerStatus, Sharding, TaskKind, TaskStatus
from exo_graphql.events.event import EventKind, Severity
from exo_graphql.operations import InstanceTypePreference, ShardingPreference

E = TypeVar("E", bound=type[Enum])


def described(enum: E, description: str, **values: str) -> E:
    """Publishes `enum` in the schema. Raises TypeError where a value has no description, or a description no value."""
    strawberry.enum(enum, description=description)
    definition = enum.__strawberry_definition__  # type: ignore[attr-defined]  # Strawberry adds it
    if {value.name for value in definition.values} != set(values):
        raise TypeError(f"{enum.__name__}: descriptions and values do not match")
    for value in definition.values:
        value.description = values[value.name]
    return enum


described(
    Phase,
    "Phase of a model or an instance. For an instance the first rule that holds decides: an "
    "assigned node is unreachable (UNREACHABLE); a runner or a required download failed (FAILED); "
    "this server has requested its deletion (UNLOADING); weights are missing (DOWNLOADING, "
    "WAITING); otherwise the least advanced runner decides. A model has the phase of its most "
    "advanced instance.",
    NOT_LOADED="The model has no instance.",
    WAITING="The instance exists, but its runner has not started, or exo has not started to download the weights.",
    DOWNLOADING="An assigned node is downloading the weights.",
    CONNECTING="The runners are connecting to each other.",
    LOADING="The layers are being loaded into memory.",
    WARMING_UP="All layers are loaded; a warm-up pass is running.",
    READY="Every runner is ready: a request is served immediately.",
    RUNNING="Ready, and serving at least one request now.",
    UNLOADING="This server has asked exo to delete the instance, and its memory is not free yet.",
    UNREACHABLE="An assigned node has left the cluster or has sent no heartbeat for 10 seconds, or exo itself "
    "does not answer. exo reports such an instance as ready for up to 45 seconds more.",
    FAILED="A runner or a required download failed. exo retries a runner up to 5 times; see ModelStatus.final.",
)
described(
    NodeStatus,
    "Whether a node still sends heartbeats.",
    ONLINE="Seen within the last 10 seconds, by exo's clock.",
    STALE="Not seen for 10 seconds or longer.",
    UNKNOWN="exo has not reported when it last saw the node.",
)
described(
    RunnerStatus,
    "Status that a runner reports. IDLE does not mean ready: an idle runner has loaded nothing.",
    IDLE="The process runs and has loaded nothing.",
    CONNECTING="Connecting to the other runners.",
    CONNECTED="Connected; waiting for the weights or for its turn to load.",
    LOADING="Loading layers.",
    LOADED="All its layers are loaded.",
    WARMING_UP="Running a warm-up pass.",
    READY="Ready to serve.",
    RUNNING="Serving a request.",
    SHUTTING_DOWN="Shutting down; while its instance is listed, exo is about to restart it.",
    FAILED="Failed; exo retries up to 5 times.",
    UNKNOWN="A status that this server does not know.",
)
described(
    Sharding,
    "How a model is divided over the nodes of an instance.",
    PIPELINE="Each node holds some of the layers.",
    TENSOR="Each node holds a slice of every layer.",
    CFG="Two pipelines, one for each branch of classifier-free guidance (image models).",
)
described(
    InstanceType,
    "How the runners of an instance communicate.",
    MLX_RING="Over sockets.",
    MLX_JACCL="Over RDMA (Thunderbolt).",
)
described(
    ShardingPreference,
    "How to divide a model over nodes.",
    AUTO="TENSOR if the model supports it and can be placed so, otherwise PIPELINE.",
    PIPELINE="Each node holds some of the layers. For some image models exo uses CFG, two pipelines side by side.",
    TENSOR="Each node holds a slice of every layer. Needs two nodes or more.",
)
described(
    InstanceTypePreference,
    "How the runners are to communicate.",
    AUTO="The type that exo can place.",
    MLX_RING="Over sockets.",
    MLX_JACCL="Over RDMA (Thunderbolt). Needs two nodes or more.",
)
described(
    DownloadStatus,
    "Status of a download. exo lists one download for every model it knows on every node; most are NOT_STARTED.",
    NOT_STARTED="Nothing has been downloaded, and no instance needs it.",
    PENDING="An instance on this node needs the weights; the download has not started.",
    DOWNLOADING="In progress.",
    PAUSED="Partly downloaded, and not in progress.",
    COMPLETED="The weights are complete.",
    FAILED="Failed; `error` says why.",
    UNKNOWN="A status that this server does not know.",
)
described(
    TaskKind,
    "What a task does.",
    TEXT_GENERATION="Inference: generates text.",
    IMAGE_GENERATION="Inference: generates an image from a prompt.",
    IMAGE_EDIT="Inference: generates an image from an image.",
    CREATE_RUNNER="Starts a runner process.",
    DOWNLOAD_MODEL="Downloads weights. exo never marks it complete: see the download instead.",
    CONNECT_TO_GROUP="Connects a runner to the others.",
    LOAD_MODEL="Loads layers into memory.",
    START_WARMUP="Runs a warm-up pass.",
    CANCEL_TASK="Cancels another task.",
    SHUTDOWN="Stops a runner.",
    UNKNOWN="A kind that this server does not know.",
)
described(
    TaskStatus,
    "Status of a task, as exo reports it.",
    PENDING="Not started.",
    RUNNING="In progress.",
    COMPLETE="Complete.",
    TIMED_OUT="Timed out.",
    FAILED="Failed; see `errorMessage`.",
    CANCELLED="Cancelled.",
    UNKNOWN="A status that this server does not know.",
)


@unique
class ModelStatusUntil(Enum):
    """When a `modelStatus` subscription completes by itself, and the waiting query is answered."""

    NEVER = "NEVER"
    READY = "READY"
    SETTLED = "SETTLED"


described(
    ModelStatusUntil,
    "When a `modelStatus` subscription completes by itself, and when the query stops waiting. A stale status never "
    "ends it.",
    NEVER="Never: a subscription continues until the client ends it, a query waits for all of `waitSeconds`.",
    READY="After the first status that is ready, final or not found.",
    SETTLED="After the first status that is ready, final, not found, or NOT_LOADED while no operation loads it.",
)

described(
    LinkMedium,
    "What a link between two nodes runs over, slowest first.",
    UNKNOWN="Not reported.",
    WIFI="Wi-Fi.",
    ETHERNET="Ethernet.",
    THUNDERBOLT="A Thunderbolt cable, by sockets.",
    RDMA="RDMA over Thunderbolt.",
)
described(
    LinkStatus,
    "How a link is, compared with its best since both nodes are there.",
    UP="As good as it has been.",
    DEGRADED="It runs over a slower medium than before.",
    ONE_WAY="It exists in one direction only. exo places no model over it.",
    LOST="It was there, and is gone, while both nodes are members.",
)
described(
    Severity,
    "How much an event matters to an operator of the cluster.",
    INFO="Normal.",
    WARNING="Something is worse than it was, but may still work.",
    ERROR="Something that should work does not.",
)
described(
    EventKind,
    "What happened.",
    NODE_JOINED="A node has joined the cluster, and reported its name.",
    NODE_LEFT="A node has left the cluster.",
    NODE_STALE="A node sends no heartbeats.",
    NODE_RETURNED="A node sends heartbeats again.",
    MODEL_READY="A copy of a model is ready.",
    MODEL_UNLOADED="A copy of a model was unloaded, by this server or by another client of exo.",
    MODEL_LOST="A copy of a model that was ready is gone or UNREACHABLE, and nobody unloaded it. One for each loss.",
    MODEL_FAILED="An attempt to start a model failed; exo makes up to five.",
    MODEL_GIVEN_UP="A model did not become ready, and there is no further attempt.",
    DOWNLOAD_STARTED="A node began to download the weights of a model.",
    DOWNLOAD_COMPLETED="A node has the weights of a model.",
    DOWNLOAD_FAILED="A download failed.",
    DOWNLOAD_STALLED="A download has received no byte for 60 s.",
    OPERATION_ACCEPTED="This server has accepted a load, an unload or a swap.",
    OPERATION_STEP="A step of an operation is done, with its message.",
    OPERATION_ENDED="An operation has ended, with its state and message.",
    DEPLOYMENT_CHANGED="A deployment was declared, changed or deleted, or is in another state.",
    ELECTION="exo lost its master, and a new one began with an empty state: every instance is gone.",
    EXO_UNREACHABLE="exo does not answer, or its master hangs.",
    EXO_BACK="exo answers again.",
    LINK_LOST="Two nodes that are both there have had no connection for 12 s.",
    LINK_DEGRADED="Nodes that share a model have been connected by a slower medium than before for 12 s.",
)
