"""What comes with exo's state where another server of this kind answers in its place (see `mirror`): headers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

_AGE = "x-exo-graphql-age"
_AT = "x-exo-graphql-at"
_NODE = "x-exo-graphql-node"
_MODELS = "x-exo-graphql-models"
_WAITED = "x-exo-graphql-waited"


@dataclass(frozen=True, slots=True)
class Copied:
    """When and where that server has read the state."""

    age: float
    """Seconds since it asked exo."""
    received_at: datetime | None = None
    """When it received the answer, by its own wall clock (UTC): from then on it shows what has changed."""
    node_id: str | None = None
    """The exo node that answered."""
    models: str | None = None
    """Another text for each catalogue that `GET /exo/models` answers."""
    waited: float = 0.0
    """Seconds between the request and its answer: exo may have been asked in the middle of them."""

    def read_at(self, asked_at: float, now: float) -> float:
        """When exo was asked, at the earliest, by the clock of a server that asked at `asked_at` and reads this `now`.

        However long the answer has been on its way, and however long that server was stopped meanwhile: no state
        seems newer than it is.
        """
        return min(asked_at + self.waited, now) - self.age

    def headers(self) -> dict[str, str]:
        """The headers that say so."""
        headers = {_AGE: f"{self.age:.3f}", _WAITED: f"{self.waited:.3f}"}
        if self.received_at is not None:
            headers[_AT] = self.received_at.isoformat()
        if self.node_id is not None and self.node_id.isascii() and self.node_id.isprintable():
            headers[_NODE] = self.node_id
        if self.models is not None:
            headers[_MODELS] = self.models
        return headers


def copied(headers: Mapping[str, str]) -> Copied | None:
    """What these headers say; None in an answer of exo itself."""
    age = _seconds(headers.get(_AGE, ""))
    if age is None:
        return None
    # An older version says nothing of it.
    waited = _seconds(headers.get(_WAITED, "")) or 0.0
    return Copied(age, _moment(headers.get(_AT)), headers.get(_NODE) or None, headers.get(_MODELS), waited)


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0.0 <= seconds < float("inf") else None


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment
