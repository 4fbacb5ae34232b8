"""What a server shows of an operation that another one executes, or that nobody does."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from exo_graphql.cluster.state import Instance
from exo_graphql.operations import Operation, OperationKind, OperationState, Step, StepState
from exo_graphql.operations.followed import as_known, deleting
from exo_graphql.operations.records import Record
from exo_graphql.operations.requests import OperationRequest
from exo_graphql.operations.saga_state import Removal, SagaState, Undoing
from exo_graphql.storage import Leaderless

OLD = Instance("i", "m", None, None, (), {})
NOW = datetime(2026, 6, 22, 12, tzinfo=UTC)


def record(*done: str, state: OperationState = OperationState.RUNNING, undoing: bool = False) -> Record:
    """An operation that has asked exo to delete an instance, and has done these steps."""
    steps = tuple(Step(name, StepState.SUCCEEDED) for name in done)
    operation = Operation("o", OperationKind.SWAP, state, "", steps, NOW)
    removal = Removal(OLD, {}, healthy=True, deletion_requested=True)
    saga_state = SagaState(removals=[removal], undoing=Undoing("why") if undoing else None)
    return Record(1, operation, OperationRequest(OperationKind.SWAP), saga_state)


@pytest.mark.parametrize("done", [(), ("unload",), ("unload", "memory"), ("unload", "memory", "place")])
def test_what_is_unloaded_is_marked_until_the_end_for_a_server_whose_state_is_old(done: tuple[str, ...]) -> None:
    assert deleting(record(*done)) == {"i": "m"}


def test_it_is_marked_no_more_once_the_operation_has_ended_or_has_restored_it() -> None:
    assert deleting(record("unload", state=OperationState.SUCCEEDED)) == {}
    assert deleting(record("unload", undoing=True)) == {"i": "m"}
    assert deleting(record("unload", "restore", undoing=True)) == {}


@pytest.mark.parametrize(("certain", "pause"), [(True, "Paused."), (False, "Paused, as far as this server knows.")])
def test_one_that_nobody_works_on_says_so_and_why(certain: bool, pause: str) -> None:
    running = replace(record().operation, message="Loading.")
    leaderless = Leaderless("No server leads.", is_certain=certain)
    assert as_known(running, leaderless) == replace(running, message=f"{pause} No server leads. It was at: Loading.")
    assert as_known(running, None) is running
    ended = record(state=OperationState.SUCCEEDED).operation
    assert as_known(ended, leaderless) is ended
