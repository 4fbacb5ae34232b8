"""An operation: a requested change of the cluster, its steps, and how it ended."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, unique

from exo_graphql.operations.errors import OperationError


@unique
class OperationKind(Enum):
    """What was requested."""

    LOAD = "LOAD"
    UNLOAD = "UNLOAD"
    SWAP = "SWAP"


@unique
class OperationState(Enum):
    """Where an operation is. PENDING, RUNNING and PARKED may change; the others are final."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ROLLED_BACK = "ROLLED_BACK"
    CANCELLED = "CANCELLED"
    PARKED = "PARKED"


@unique
class StepState(Enum):
    """The state of a step."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


AT_WORK = frozenset({OperationState.PENDING, OperationState.RUNNING})
ACTIVE = AT_WORK | {OperationState.PARKED}
"""Not ended. A parked one does nothing and blocks no other operation."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step. Times are UTC, None until then; `message` says what it waits for, found, or failed at."""

    name: str
    state: StepState = StepState.PENDING
    started_at: datetime | None = None
    finished_at: datetime | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as it is now. `load_ids` and `unload_ids` are full model ids.

    `progress_percent` (0-100) is that of the current step where it can be measured, else None. `error` says why
    it did not succeed, in a form that a program can act on; `waiting_for` names the operations whose memory a PENDING
    one waits for.
    """

    id: str
    kind: OperationKind
    state: OperationState
    message: str
    steps: tuple[Step, ...]
    started_at: datetime
    load_ids: tuple[str, ...] = ()
    unload_ids: tuple[str, ...] = ()
    progress_percent: float | None = None
    finished_at: datetime | None = None
    error: OperationError | None = None
    idempotency_key: str | None = None
    waiting_for: tuple[str, ...] = ()
    deployment: str | None = None
    """The uid of the deployment that it is made for; None for a person's."""
    by: str | None = None
    """Who requested it: the name of a token; None where it has none, and for a deployment."""
    cancelled_by: str | None = None
    """The same of who cancelled it; None if nobody did."""
    placed: tuple[tuple[str, str], ...] = ()
    """Once it has ended: model and instance id of all that it placed or restored."""

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.state in ACTIVE

    @property
    def at_work(self) -> bool:
        """Whether it acts, or will by itself: others must not act on the same models."""
        return self.state in AT_WORK

    @property
    def model_ids(self) -> frozenset[str]:
        """Every model that it touches."""
        return frozenset((*self.load_ids, *self.unload_ids))

    def step(self, name: str) -> Step | None:
        """The step of that name."""
        return next((step for step in self.steps if step.name == name), None)

    def with_step(self, changed: Step) -> "Operation":
        """The operation with the step of the same name replaced, or added at the end."""
        if self.step(changed.name) is None:
            return replace(self, steps=(*self.steps, changed))
        return replace(self, steps=tuple(changed if step.name == changed.name else step for step in self.steps))
