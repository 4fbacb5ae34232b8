"""Failed loads by model, as model statuses show them: what the end of each operation changes in them."""

from collections.abc import Iterable, Mapping

from exo_graphql.cluster.loads import FailedLoad
from exo_graphql.operations.operation import Operation, OperationState


def after(failed: Mapping[str, FailedLoad], operation: Operation) -> Mapping[str, FailedLoad]:
    """`failed` once this operation has ended: for each model, the newest operation about it decides.

    The same object if nothing changes. A model that an operation was to unload is no longer wanted, however
    that ended.
    """
    changed = dict(failed)
    for model_id in operation.model_ids:
        if operation.state is OperationState.SUCCEEDED or model_id not in operation.load_ids:
            changed.pop(model_id, None)
        else:
            reason = operation.error.message if operation.error is not None else operation.message
            changed[model_id] = FailedLoad(operation.id, reason, operation.finished_at or operation.started_at)
    return failed if changed == failed else changed


def under_way(operations: Iterable[Operation]) -> frozenset[str]:
    """Models that those of them which have not ended are to load."""
    return frozenset(model_id for operation in operations if operation.active for model_id in operation.load_ids)
