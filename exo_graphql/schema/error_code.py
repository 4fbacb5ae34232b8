"""The enum `ErrorCode`: what kind of rejection or failure an `OperationError` is."""

from enum import Enum

from exo_graphql.schema.enums import described

CODES = {
    "MODEL_NOT_FOUND": "No model has this name.",
    "MODEL_AMBIGUOUS": "Several models have this short name.",
    "MODEL_NOT_LOADED": "The model has no instance.",
    "NODE_NOT_FOUND": "No node of the cluster has this id or name.",
    "INSTANCE_NOT_FOUND": "The model has no instance with this id.",
    "INVALID_ARGUMENT": "Invalid argument.",
    "IDEMPOTENCY_KEY_REUSED": "The idempotency key belongs to an operation with other arguments.",
    "INSUFFICIENT_MEMORY": "Not enough free memory.",
    "PLACEMENT_REFUSED": "exo does not place the model, for another reason than memory.",
    "PLAN_OUTDATED": "The cluster has changed since the plan was made: it would now be done differently.",
    "OPERATION_CONFLICT": "Another operation on the same model is active.",
    "OPERATION_NOT_FOUND": "No operation has this id, or it ended long ago.",
    "OPERATION_FINISHED": "The operation has already ended.",
    "TOO_MANY_OPERATIONS": "The maximum number of active operations is reached.",
    "TASK_NOT_FOUND": "exo lists no task with this id.",
    "TASK_NOT_CANCELLABLE": "The task is not an inference under way, or no exo node that this server knows holds it.",
    "HUB_UNAVAILABLE": "exo could not search the model hub.",
    "MODEL_NOT_ADDED": "exo did not change its catalogue as requested.",
    "MODEL_NOT_CUSTOM": "exo brings the model along, so it cannot be removed.",
    "LOAD_FAILED": "exo could not make the model ready, or another client removed it before it was ready.",
    "DOWNLOAD_FAILED": "A node could not download the weights.",
    "UNLOAD_FAILED": "exo did not remove an instance.",
    "TIMED_OUT": "The operation took longer than timeoutSeconds, or made no progress for too long.",
    "CANCELLED": "cancelOperation stopped the operation.",
    "CLUSTER_UNAVAILABLE": "No exo node gives a valid answer.",
    "JOURNAL_UNAVAILABLE": "The operation journal cannot be written, so no operation can be started.",
    "DEPLOYMENT_NOT_FOUND": "No deployment has this name.",
    "DEPLOYMENT_CHANGED": "The deployment is not of the generation that ifGeneration names.",
    "DEPLOYMENT_MANAGED_BY_FILE": "The deployments file of this server declares it: it cannot be changed or deleted.",
    "MODEL_ALREADY_DEPLOYED": "Another deployment has this model.",
    "EVENT_NOT_FOUND": "No event has this id, or it is too old to be kept.",
    "INTERNAL_FAULT": "An internal error of this server; see its log.",
}
ErrorCode = Enum("ErrorCode", {code: code for code in CODES})  # type: ignore[misc]  # one table, not two
described(ErrorCode, "What kind of rejection or failure it is: the type's name in capitals.", **CODES)
