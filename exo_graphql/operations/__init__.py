"""How to change the cluster safely: plan, act, confirm, undo, each step stored before it begins.

To read it in the order of a request: `service.py` (the entry), `admission.py` (from the request to a started operation;
`resolution.py` makes names ids, `precedence.py` lets persons come before deployments), `planning.py` (the pure plan;
`choice.py` picks among exo's previews, `proposal.py` says the plan in words, `plan_hash.py` lets one apply it as shown,
`reservations.py` counts what others hold, `fetch.py` asks exo, and
`rejection.py` explains why there is no plan), `manager.py` (owns the tasks), `worker.py` (one operation from start to
end), `saga.py` (the order of its steps; `load.py` and `unload.py` are its halves, over `place.py`, `remove.py` and
`weights.py`), `undo.py` (the way back; `restore.py` is its second half), `result.py` (the result, read off the last
snapshot). `run.py` is what all steps share: `observation.py` judges the snapshots that they see, `deadlines.py` ends
what takes too long. `saga_state.py` is what survives a crash, `records.py` its encoding. Where several servers share a
store, `followed.py` and `shared_progress.py` show on each what the leader does. `marks.py` passes to the snapshots what
is unloaded, loaded and has failed. `late_instances.py` removes what exo creates after its operation has given it up
(`unclaimed.py`).
"""

from exo_graphql.operations.downloads import DownloadsResult, NodeDownloadResult
from exo_graphql.operations.errors import (
    Cancelled,
    ClusterUnavailable,
    DownloadFailed,
    HubUnavailable,
    IdempotencyKeyReused,
    InstanceNotFound,
    InsufficientMemory,
    InternalFault,
    InvalidArgument,
    JournalUnavailable,
    LoadFailed,
    ModelAmbiguous,
    ModelNotAdded,
    ModelNotCustom,
    ModelNotFound,
    ModelNotLoaded,
    NodeNotFound,
    OperationConflict,
    OperationError,
    OperationFinished,
    OperationNotFound,
    PlacementRefused,
    TaskNotCancellable,
    TaskNotFound,
    TimedOut,
    TooManyOperations,
    UnloadFailed,
)
from exo_graphql.operations.offload import Offload, in_thread
from exo_graphql.operations.operation import Operation, OperationKind, OperationState, Step, StepState
from exo_graphql.operations.placements import NodeShare, PlacementView
from exo_graphql.operations.proposal import Fetched, PlanOutdated, Proposal
from exo_graphql.operations.requests import InstanceTypePreference, ShardingPreference
from exo_graphql.operations.rules import OperationRules
from exo_graphql.operations.service import Operations

__all__ = [
    "Cancelled",
    "ClusterUnavailable",
    "DownloadFailed",
    "DownloadsResult",
    "Fetched",
    "HubUnavailable",
    "IdempotencyKeyReused",
    "InstanceNotFound",
    "InstanceTypePreference",
    "InsufficientMemory",
    "InternalFault",
    "InvalidArgument",
    "JournalUnavailable",
    "LoadFailed",
    "ModelAmbiguous",
    "ModelNotAdded",
    "ModelNotCustom",
    "ModelNotFound",
    "ModelNotLoaded",
    "NodeDownloadResult",
    "NodeNotFound",
    "NodeShare",
    "Offload",
    "Operation",
    "OperationConflict",
    "OperationError",
    "OperationFinished",
    "OperationKind",
    "OperationNotFound",
    "OperationRules",
    "OperationState",
    "Operations",
    "PlacementRefused",
    "PlacementView",
    "PlanOutdated",
    "Proposal",
    "ShardingPreference",
    "Step",
    "StepState",
    "TaskNotCancellable",
    "TaskNotFound",
    "TimedOut",
    "TooManyOperations",
    "UnloadFailed",
    "in_thread",
]
