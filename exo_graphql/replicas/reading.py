"""One reader of exo: while another server leads, its copy of exo's state is read instead of exo."""

from contextlib import ExitStack
from typing import Protocol, Self

from exo_graphql.storage.leadership import Leadership


class Reader(Protocol):
    """Reads exo, or another server's copy of its state."""

    def follow(self, url: str | None, token: str | None = None) -> None:
        """Reads the copy of the server at `url`, which accepts `token`, while it answers; None: reads exo."""
        ...


class Reading:
    """Says which server is to be followed while it is entered (`with`)."""

    def __init__(self, reader: Reader, leadership: Leadership) -> None:
        self._reader = reader
        self._leadership = leadership
        self._active = ExitStack()

    def __enter__(self) -> Self:
        self._active.callback(self._leadership.listen(self._look))
        self._look()
        return self

    def __exit__(self, *_: object) -> None:
        self._active.close()

    def _look(self) -> None:
        leader, secret = self._leadership.leader, self._leadership.secret
        if leader is None or secret is None or leader.id == self._leadership.own.id or self._leadership.leads:
            self._reader.follow(None)
        else:
            self._reader.follow(leader.url, secret)
