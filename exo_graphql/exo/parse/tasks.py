"""Tasks: what instances are working on, and everything they ever worked on (exo removes none)."""

from exo_graphql.cluster.state import Task, TaskKind, TaskStatus
from exo_graphql.exo.parse.json_values import mapping, string, tagged

TASK_TAGS = {
    "TextGeneration": TaskKind.TEXT_GENERATION,
    "ChatCompletion": TaskKind.TEXT_GENERATION,  # until v1.0.68
    "ImageGeneration": TaskKind.IMAGE_GENERATION,
    "ImageEdits": TaskKind.IMAGE_EDIT,
    "CreateRunner": TaskKind.CREATE_RUNNER,
    "DownloadModel": TaskKind.DOWNLOAD_MODEL,
    "ConnectToGroup": TaskKind.CONNECT_TO_GROUP,
    "LoadModel": TaskKind.LOAD_MODEL,
    "StartWarmup": TaskKind.START_WARMUP,
    "CancelTask": TaskKind.CANCEL_TASK,
    "Shutdown": TaskKind.SHUTDOWN,
}
_STATUSES = {
    "Pending": TaskStatus.PENDING,
    "Running": TaskStatus.RUNNING,
    "Complete": TaskStatus.COMPLETE,
    "TimedOut": TaskStatus.TIMED_OUT,
    "Failed": TaskStatus.FAILED,
    "Cancelled": TaskStatus.CANCELLED,
}


def read_task(id_: str, raw: object) -> Task:
    """The task that exo lists under `id_`; UNKNOWN for what is none. Prompts and images are never read."""
    tag, body = tagged(raw)
    status = string(body, "taskStatus")
    bound = mapping(body, "boundInstance")
    return Task(
        id=id_,
        kind=TASK_TAGS.get(tag, TaskKind.UNKNOWN),
        status=_STATUSES.get(status, TaskStatus.UNKNOWN) if status else TaskStatus.UNKNOWN,
        instance_id=string(body, "instanceId"),
        command_id=string(body, "commandId"),
        runner_id=string(body, "runnerId") or string(bound, "boundRunnerId"),
        error_type=string(body, "errorType"),
        error_message=string(body, "errorMessage"),
    )
