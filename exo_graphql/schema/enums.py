"""The public enums: the house's own, with a description for each value."""

from enum import Enum, unique
from typing import TypeVar

import strawberry

from exo_graphql.cluster.downloads import DownloadStatus
from exo_graphql.cluster.readiness import NodeStatus, Phase
from exo_graphql.cluster.state import InstanceType, RunnerStatus, Sharding, TaskKind, TaskStatus

E = TypeVar("E", bound=type[Enum])


def described(enum: E, description: str, **values: str) -> E:
    """Publishes `enum`; every value must be described."""
    strawberry.enum(enum, description=description)
    definition = enum.__strawberry_definition__  # type: ignore[attr-defined]  # Strawberry adds it
    if {value.name for value in definition.values} != set(values):
        raise TypeError(f"{enum.__name__}: every value needs its description, and no other")
    for value in definition.values:
        value.description = values[value.name]
    return enum


described(
    Phase,
    "Where a model or an instance stands. Per instance the first rule that holds decides: an assigned node out of "
    "reach (UNREACHABLE), a failed runner or needed download (FAILED), a deletion asked for by this server "
    "(UNLOADING), missing weights (DOWNLOADING, WAITING), else the least advanced runner. A model takes its best "
    "instance's phase.",
    NOT_LOADED="No instance.",
    WAITING="An instance exists; its runner has not started, or exo has not yet begun to fetch the weights.",
    DOWNLOADING="An assigned node is fetching the weights.",
    CONNECTING="The runners are joining each other.",
    LOADING="Layers are being loaded into memory.",
    WARMING_UP="Loaded; the first pass is running.",
    READY="Every runner is ready: a request is served at once.",
    RUNNING="Ready, and serving at least one request now.",
    UNLOADING="This server has asked exo to delete the instance, and its memory is not yet free.",
    UNREACHABLE="A node that holds a part has left or has not been seen for 10 seconds. exo itself goes on calling "
    "such an instance ready for up to 45 seconds.",
    FAILED="A runner or a needed download failed. exo retries a runner up to 5 times; see ModelStatus.final.",
)
described(
    NodeStatus,
    "Whether a node is still heard of.",
    ONLINE="Seen within the last 10 seconds, by exo's own clock.",
    STALE="A member not seen for 10 seconds or more.",
    UNKNOWN="exo has not said when it last saw the node.",
)
described(
    RunnerStatus,
    "A runner's own report. Being idle is not being ready: an idle runner has loaded nothing.",
    IDLE="The process runs and has loaded nothing.",
    CONNECTING="Joining the other runners.",
    CONNECTED="Joined; waiting for the weights or for its turn to load.",
    LOADING="Loading layers.",
    LOADED="All its layers are loaded.",
    WARMING_UP="Running a first pass.",
    READY="Able to serve.",
    RUNNING="Serving.",
    SHUTTING_DOWN="Ending; in a listed instance it is about to be started again.",
    FAILED="It failed; exo tries again up to 5 times.",
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
    "The engine that joins the runners of an instance.",
    MLX_RING="Over sockets.",
    MLX_JACCL="Over RDMA (Thunderbolt).",
)
described(
    DownloadStatus,
    "What a download means. exo lists one entry for every model it knows on every node; most are NOT_STARTED.",
    NOT_STARTED="Nothing is there and nobody waits for it.",
    PENDING="An instance on this node waits for it and it has not begun.",
    DOWNLOADING="Bytes are on the way.",
    PAUSED="A part is there, and it is not being fetched.",
    COMPLETED="The weights are there.",
    FAILED="It failed; see error.",
    UNKNOWN="A status that this server does not know.",
)
described(
    TaskKind,
    "What a task does.",
    TEXT_GENERATION="Inference: text.",
    IMAGE_GENERATION="Inference: an image from a prompt.",
    IMAGE_EDIT="Inference: an image from an image.",
    CREATE_RUNNER="Starts a runner's process.",
    DOWNLOAD_MODEL="Fetches weights. exo never marks it complete: look at the download instead.",
    CONNECT_TO_GROUP="Joins a runner to the others.",
    LOAD_MODEL="Loads layers.",
    START_WARMUP="Runs the first pass.",
    CANCEL_TASK="Cancels another task.",
    SHUTDOWN="Ends a runner.",
    UNKNOWN="A kind that this server does not know.",
)
described(
    TaskStatus,
    "Where a task stands, as exo says.",
    PENDING="Not begun.",
    RUNNING="Under way.",
    COMPLETE="Done.",
    TIMED_OUT="Took too long.",
    FAILED="Failed; see errorMessage.",
    CANCELLED="Cancelled.",
    UNKNOWN="A status that this server does not know.",
)


@unique
class ModelStatusUntil(Enum):
    """When a `modelStatus` subscription completes by itself."""

    NEVER = "NEVER"
    READY = "READY"
    SETTLED = "SETTLED"


described(
    ModelStatusUntil,
    "When a modelStatus subscription completes by itself. A stale status ends nothing.",
    NEVER="Never; it goes on until the client ends it.",
    READY="After the first status that is ready, final or not found.",
    SETTLED="After the first status that is ready, final, not found, or NOT_LOADED.",
)
