"""Which servers there are, for answers that are sent again only while that is the same."""

from collections.abc import Callable

from exo_graphql.storage.leadership import Leaderless, Leadership, Replica


class Membership:
    """The servers that share a store."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self.version = 0
        """Increases whenever `all` may have changed, while somebody listens."""

    @property
    def all(self) -> tuple[Replica, ...]:
        """By name; at least this one."""
        return self._leadership.replicas

    @property
    def role(self) -> str:
        """Of this server, as `/readyz` answers it."""
        return "leader" if self._leadership.leads else "follower"

    @property
    def secret(self) -> str | None:
        """What these servers show each other; None where there is one server only."""
        return self._leadership.secret

    @property
    def leaderless(self) -> Leaderless | None:
        """Why no server leads; None where one does."""
        return self._leadership.leaderless

    @property
    def leads(self) -> bool:
        """Whether this server leads."""
        return self._leadership.leads

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Counts changes from here on, and calls back after each; returns how to stop."""

        def changed() -> None:
            self.version += 1
            callback()

        return self._leadership.listen(changed)
