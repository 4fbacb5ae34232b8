"""A `Leadership` that a test directs, for servers without a database between them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from unittest.mock import patch

from exo_graphql.storage.leadership import Leaderless, Replica

SINCE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECRET = "a-secret-that-only-the-replicas-know"


def replica(name: str, url: str | None = None, *, leads: bool = False) -> Replica:
    """One whose id is its name."""
    return Replica(name, name, url, SINCE, leads)


class Directed:
    """See `Leadership`. It says what the test has set, and calls back at `set`."""

    def __init__(self, own: str, *others: Replica, secret: str | None = SECRET) -> None:
        """This server has the name `own`, and leads if none of the others does."""
        self._others = {other.id: other for other in others}
        self._callbacks: list[Callable[[], None]] = []
        self.own = replica(own, leads=not any(other.leads for other in others))
        self.secret = secret

    @property
    def leads(self) -> bool:
        """See `Leadership`."""
        return self.own.leads

    @property
    def seconds_left(self) -> float:
        """See `Leadership`."""
        return 6.0 if self.leads else 0.0

    @property
    def leader(self) -> Replica | None:
        """See `Leadership`."""
        return next((each for each in self.replicas if each.leads), None)

    @property
    def leaderless(self) -> Leaderless | None:
        """See `Leadership`."""
        return None if self.leader is not None else Leaderless("No server leads now.")

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """See `Leadership`."""
        return tuple(sorted((self.own, *self._others.values()), key=lambda each: each.name))

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """See `Leadership`."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def begin_only_while(self, rests: Callable[[], bool]) -> None:
        """The test says when it begins."""

    def describe(self, *, barred: str | None, reads_exo: bool | None) -> None:
        """See `Leadership`."""

    def resign(self) -> None:
        """The test says when it ends."""

    def set(self, leader: str | None, *others: Replica) -> None:
        """From here on the server of this name leads; `others` are known as well, or have another URL now."""
        self._others |= {other.id: other for other in others}
        self.own = replace(self.own, leads=self.own.name == leader)
        self._others = {id_: replace(each, leads=each.name == leader) for id_, each in self._others.items()}
        for callback in tuple(self._callbacks):
            callback()


@contextmanager
def directed(leadership: Directed) -> Iterator[Directed]:
    """A server that is built in here has this leadership."""
    with patch("exo_graphql.storage.sqlite.Alone", return_value=leadership):
        yield leadership
