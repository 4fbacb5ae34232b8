"""What a request is answered: how it ended, and the encoded answer."""

from dataclasses import dataclass
from enum import Enum, unique

from exo_graphql.engine.execution import Answer


@unique
class Outcome(Enum):
    """The outcome of a request, from which each transport derives its status."""

    EXECUTED = "EXECUTED"
    REFUSED = "REFUSED"
    """A request error: nothing was executed, there is no data."""
    FORBIDDEN = "FORBIDDEN"
    DOCUMENT_UNKNOWN = "DOCUMENT_UNKNOWN"
    """No persisted document has the id that the request names."""
    OVERLOADED = "OVERLOADED"
    """Nothing was executed, since too much is under way."""
    UNAVAILABLE = "UNAVAILABLE"
    """A mutation that was not carried out, since no server that leads could be reached."""
    UNKNOWN = "UNKNOWN"
    """The server that leads did not answer. A mutation may have been carried out."""
    FAULT = "FAULT"
    """A fault of ours. A mutation may have been carried out."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An encoded answer."""

    outcome: Outcome
    payload: bytes
    lasting: bool = False
    """Whether it may be sent again while the snapshot is the same."""
    answer: Answer | None = None
    """What was executed; None for a refusal."""
