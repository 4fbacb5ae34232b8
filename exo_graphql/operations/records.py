"""An operation as it is stored: what is needed to resume it after a crash, as JSON and back."""

import logging
from dataclasses import dataclass, replace
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from exo_graphql.operations.errors import BY_NAME, OperationError
from exo_graphql.operations.operation import Operation
from exo_graphql.operations.requests import OperationRequest
from exo_graphql.operations.saga_state import SagaState
from exo_graphql.storage import Entry, StoreError

log = logging.getLogger(__name__)


class Unstorable(StoreError):
    """The operation itself cannot be written, whatever becomes of the store."""


@dataclass(frozen=True, slots=True)
class Record:
    """An operation with all that is needed to resume it. `sequence` orders them, independently of any clock."""

    sequence: int
    operation: Operation
    request: OperationRequest
    saga_state: SagaState


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry of an operation that has not ended and that this version cannot read. It is kept as it is."""

    sequence: int
    operation_id: str
    operation: Operation | None
    """What can be read of it."""


def encode(record: Record) -> Entry:
    """The record as JSON. Raises `Unstorable` where it cannot be written.

    exo's own documents are in it, and orjson writes no more than 254 levels. An operation that has ended is then
    written without them, since nothing needs them any more.
    """
    operation = record.operation
    error = operation.error
    try:
        saga_state = _SAGA_STATE.dump_python(record.saga_state, mode="json")
        if not saga_state["requested"]:
            del saga_state["requested"]  # added later: without it, a record is what earlier versions have written
        body = orjson.dumps(
            {
                "operation": _OPERATION.dump_python(replace(operation, error=None), mode="json"),
                # With the name of its type: `LoadFailed` and `DownloadFailed` may have the same fields.
                "error": None if error is None else [type(error).__name__, _encode_error(error)],
                "request": _REQUEST.dump_python(record.request, mode="json"),
                "saga_state": saga_state,
            }
        )
    except (TypeError, ValueError, RecursionError) as unwritable:
        if not operation.active and record.saga_state != SagaState():
            return encode(replace(record, saga_state=SagaState()))
        raise Unstorable(f"The operation cannot be stored: {unwritable}.") from unwritable
    return Entry(record.sequence, operation.id, operation.active, body)


def with_operation(entry: Entry, operation: Operation) -> Entry:
    """The entry of a record with another version of its operation; all else in it stays as it is stored."""
    raw: dict[str, Any] = orjson.loads(entry.record)
    raw["operation"] = _OPERATION.dump_python(replace(operation, error=None), mode="json")
    return replace(entry, active=operation.active, record=orjson.dumps(raw))


def decode(entry: Entry) -> Record | Unreadable | None:
    """The record of an entry; None where it cannot be read and its operation has ended.

    An active one is read only if it is understood whole: encoded again it must be what was there. A field that this
    version does not know, or misses, would otherwise be lost with the next save.
    """
    try:
        raw: dict[str, Any] = orjson.loads(entry.record)
        operation = _decode_operation(raw)
        request, saga_state = _REQUEST.validate_python(raw["request"]), _SAGA_STATE.validate_python(raw["saga_state"])
        record = Record(entry.sequence, operation, request, saga_state)
        if entry.active:
            _check_complete(raw, record)
    except (ValidationError, KeyError, TypeError, ValueError, StoreError):
        log.exception("The stored operation %d cannot be read; it is kept, and not resumed.", entry.sequence)
        return Unreadable(entry.sequence, entry.id, _readable_part(entry.record)) if entry.active else None
    return record


def _check_complete(raw: dict[str, Any], record: Record) -> None:
    again = orjson.loads(encode(record).record)
    for part in ("operation", "request", "saga_state"):
        if again[part] != raw[part]:
            raise ValueError(f"its {part} has fields that this version does not know, or lacks some")


def _readable_part(body: bytes) -> Operation | None:
    try:
        return _decode_operation(orjson.loads(body))
    except (ValidationError, KeyError, TypeError, ValueError):
        return None


def _decode_operation(raw: dict[str, Any]) -> Operation:
    operation = _OPERATION.validate_python(raw["operation"])
    if raw["error"] is None:
        return operation
    name, fields = raw["error"]
    return replace(operation, error=TypeAdapter(BY_NAME[name]).validate_python(fields))


def _encode_error(error: OperationError) -> object:
    return TypeAdapter(type(error)).dump_python(error, mode="json")


_OPERATION = TypeAdapter(Operation)
_SAGA_STATE = TypeAdapter(SagaState)
_REQUEST = TypeAdapter(OperationRequest)
