"""A connection to PostgreSQL for calls that are made again where it breaks, and that end in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection

from exo_graphql.storage.store import StoreError

_T = TypeVar("_T")
Connection = AsyncConnection[Any]
Work = Callable[[Connection], Awaitable[_T]]

# Longer than a connection over a slow network takes, and the least that psycopg waits. Then the next host is tried.
CONNECT_SECONDS = 2
# For all hosts of the URL, and their names.
CONNECT_ANY_SECONDS = 10.0
# Between two attempts of a call.
RETRY_PAUSE = 0.2
# Sent, and not acknowledged for this long: the connection is cut (Linux alone). Calls give up before.
UNACKNOWLEDGED_SECONDS = 15

# What another attempt does not mend: a full disk, and one that fails.
_LASTING = (psycopg.errors.DiskFull, psycopg.errors.IoError)
# No connection, one that broke, a deadlock; or the server is a standby since a failover.
_PASSING = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)


class Unknown(StoreError):
    """No answer came in time: what was asked may have happened, or happen yet."""


async def connect(url: str) -> Connection:
    """A new connection. Raises `psycopg.Error`."""
    return await AsyncConnection.connect(
        url,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        prepare_threshold=None,  # poolers may give each transaction another connection
        application_name="exo-graphql",
        tcp_user_timeout=UNACKNOWLEDGED_SECONDS * 1000,
    )


class Session:
    """One connection at a time, made when it is needed, and made anew when it breaks."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._turn = asyncio.Lock()
        self._connection: Connection | None = None
        self._ended = False
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
                except _LASTING:
                    raise
                except _PASSING as error:
                    self.last_error = sentence(error)
                    if self._ended or asyncio.get_running_loop().time() > until:
                        raise
                    await asyncio.sleep(RETRY_PAUSE)
                else:
                    self.last_error = None
                    return result

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        if self._ended:
            raise psycopg.InterfaceError("it has been closed")
        if self._connection is None or self._connection.closed:
            self._connection = await connect(self._url)
        try:
            yield self._connection
        except BaseException:
            # Whatever it was doing: what is asked next must not find it in the middle of that.
            await self._close()
            raise

    async def _close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def close(self, seconds: float = 0.0) -> None:
        """Closes the connection, if there is one, after at most that time for the calls that are under way."""
        try:
            async with asyncio.timeout(seconds), self._turn:
                self._ended = True
        except TimeoutError:
            self._ended = True
        await self._close()


async def bounded(work: Coroutine[Any, Any, _T], seconds: float) -> _T:
    """What it gives. Raises `TimeoutError` at that time, even if it hangs while it is cancelled.

    If the caller is cancelled, it goes on: what is to be stored is stored all the same.
    """
    call = asyncio.create_task(work)
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(call)
    except TimeoutError:
        if call.done():
            return call.result()  # it came while this process was held up, and had no turn to look
        call.cancel()
        call.add_done_callback(_retrieve)
        raise
    except asyncio.CancelledError:
        call.add_done_callback(_retrieve)
        raise


async def within(seconds: float, session: Session, work: Work[_T]) -> _T:
    """What `work` gives. Raises `StoreError`; `Unknown` where the time is over."""
    try:
        return await bounded(session.run(work, seconds), seconds)
    except TimeoutError as error:
        if session.last_error is not None:
            # It may answer all the same: that the password is wrong.
            raise Unknown(f"The database could not be used for {seconds:g} s: {session.last_error}") from error
        raise Unknown(f"The database did not answer within {seconds:g} s.") from error
    except psycopg.Error as error:
        raise StoreError(f"The database cannot be used: {sentence(error)}") from error


def sentence(error: Exception) -> str:
    """The first line of the error, which names host and port but no password."""
    lines = str(error).strip().splitlines()
    text = (lines[0] if lines else type(error).__name__).rstrip(".")
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        text = f"it is read-only ({text})"
    return f"{text}."


def _retrieve(future: "asyncio.Future[Any]") -> None:
    """Takes the result of a call that came too late, so that asyncio logs no exception as never retrieved."""
    if not future.cancelled():
        future.exception()
