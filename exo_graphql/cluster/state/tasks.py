"""A piece of work of an instance."""

from dataclasses import dataclass
from enum import Enum, unique


@unique
class TaskKind(Enum):
    """What a task does, by exo's tags."""

    TEXT_GENERATION = "TEXT_GENERATION"
    IMAGE_GENERATION = "IMAGE_GENERATION"
    IMAGE_EDIT = "IMAGE_EDIT"
    CREATE_RUNNER = "CREATE_RUNNER"
    DOWNLOAD_MODEL = "DOWNLOAD_MODEL"
    CONNECT_TO_GROUP = "CONNECT_TO_GROUP"
    LOAD_MODEL = "LOAD_MODEL"
    START_WARMUP = "START_WARMUP"
    CANCEL_TASK = "CANCEL_TASK"
    SHUTDOWN = "SHUTDOWN"
    UNKNOWN = "UNKNOWN"


INFERENCE = frozenset({TaskKind.TEXT_GENERATION, TaskKind.IMAGE_GENERATION, TaskKind.IMAGE_EDIT})


@unique
class TaskStatus(Enum):
    """The status of a task, as exo reports it."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    TIMED_OUT = "TIMED_OUT"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work of an instance. Prompts and images are never read."""

    id: str
    kind: TaskKind
    status: TaskStatus
    instance_id: str | None
    command_id: str | None = None
    runner_id: str | None = None
    error_type: str | None = None
    error_message: str | None = None
