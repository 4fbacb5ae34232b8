"""A connection to PostgreSQL for calls that are made again where it breaks, and that end in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection

from exo_graphql.storage.store import StoreError

_T = TypeVar("_T")
Connection = AsyncConnection[Any]
Work = Callable[[Connection], Awaitable[_T]]

# Longer than a connection over a slow network takes. Another host of the URL is tried after this time.
CONNECT_SECONDS = 3
# Between two attempts of a call.
RETRY_PAUSE = 0.2


class Unknown(StoreError):
    """No answer came in time: what was asked may have happened, or happen yet."""


class Session:
    """One connection at a time, made when it is needed, and made anew when it breaks."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._turn = asyncio.Lock()
        self._connection: Connection | None = None
        self.last_error: str | None = None
        """Why it is being tried again; None while it works."""

    async def run(self, work: Work[_T], seconds: float) -> _T:
        """What `work` gives; it is done again while the connection breaks and the time is not over."""
        until = asyncio.get_running_loop().time() + seconds
        async with self._turn:
            while True:
                try:
                    async with self._connected() as connection:
                        result = await work(connection)
                except (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction) as error:
                    # No connection, one that broke, a deadlock; or the server is a standby since a failover.
                    self.last_error = _sentence(error)
                    if asyncio.get_running_loop().time() > until:
                        raise
                    await asyncio.sleep(RETRY_PAUSE)
                else:
                    self.last_error = None
                    return result

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        if self._connection is None or self._connection.closed:
            self._connection = await AsyncConnection.connect(
                self._url,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                prepare_threshold=None,  # poolers may give each transaction another connection
                application_name="exo-graphql",
            )
        try:
            yield self._connection
        except BaseException:
            # Whatever it was doing: what is asked next must not find it in the middle of that.
            await self.close()
            raise

    async def close(self) -> None:
        """Closes the connection, if there is one."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()


async def within(seconds: float, session: Session, work: Work[_T]) -> _T:
    """What `work` gives. Raises `StoreError`; `Unknown` where the time is over."""
    call = asyncio.create_task(session.run(work, seconds))
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(call)
    except TimeoutError as error:
        call.cancel()
        call.add_done_callback(_retrieve)
        why = "" if session.last_error is None else f" {session.last_error}"
        raise Unknown(f"The database did not answer within {seconds:g} s.{why}") from error
    except psycopg.Error as error:
        raise StoreError(f"The database cannot be used: {_sentence(error)}") from error
    except asyncio.CancelledError:
        call.add_done_callback(_retrieve)
        raise


def _sentence(error: psycopg.Error) -> str:
    """The first line of the error, which names host and port but no password."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    return f"{text.rstrip('.')}."


def _retrieve(future: "asyncio.Future[Any]") -> None:
    """Takes the result of a call that came too late, so that asyncio logs no exception as never retrieved."""
    if not future.cancelled():
        future.exception()
