"""Hears, on a connection of its own, what other servers write."""

import asyncio
import logging

import psycopg

from exo_graphql.storage.changes import CHANNEL, Changes
from exo_graphql.storage.postgres_session import CONNECT_ANY_SECONDS, Connection, bounded, connect, sentence

log = logging.getLogger(__name__)

# While nothing arrives, the connection is tried this often: one that was cut says nothing.
TRY_EVERY = 5.0
# What a database that works answers within.
ANSWER_SECONDS = 3.0
# Between two attempts to connect.
PAUSE = 1.0


class Listener:
    """Passes notifications on to `Changes` until it is closed."""

    def __init__(self, url: str, changes: Changes) -> None:
        self._url = url
        self._changes = changes
        self._connection: Connection | None = None
        self._listening: asyncio.Task[None] | None = None
        self._has_failed = False
        """Whether it was logged that nothing is heard."""

    async def open(self) -> None:
        """Starts. If that does not work now, it is tried again in the background."""
        try:
            await self._connect()
        except (psycopg.Error, OSError, TimeoutError) as error:
            self._failed(error)
        self._listening = asyncio.create_task(self._listen(), name="listener")

    async def close(self) -> None:
        """Stops."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        await self._disconnect()

    async def _listen(self) -> None:
        while True:
            try:
                connection = self._connection
                if connection is None:
                    connection = await self._connect()
                    self._changes.report_all()
                    log.info("Notifications of the database arrive again.")
                await self._follow(connection)
            except (psycopg.Error, OSError, TimeoutError, ValueError) as error:  # ValueError: of a closed socket
                self._failed(error)
                await self._disconnect()
                await asyncio.sleep(PAUSE)

    def _failed(self, error: Exception) -> None:
        if not self._has_failed:
            log.warning("Notifications of the database do not arrive: %s", sentence(error))
        self._has_failed, self._changes.is_heard = True, False

    async def _connect(self) -> Connection:
        async with asyncio.timeout(CONNECT_ANY_SECONDS):
            self._connection = connection = await connect(self._url)
        # Of those that arrive together with an answer.
        connection.add_notify_handler(lambda notification: self._changes.hear(notification.payload))
        await bounded(_subscribe(connection), ANSWER_SECONDS)
        self._has_failed, self._changes.is_heard = False, True
        return connection

    async def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _follow(self, connection: Connection) -> None:
        while True:
            # `connection.notifies()` would wake up several times a second while nothing arrives.
            connection.pgconn.consume_input()
            while (notification := connection.pgconn.notifies()) is not None:
                self._changes.hear(notification.extra.decode(errors="replace"))
            if not await _readable(connection, TRY_EVERY):
                await bounded(_subscribe(connection), ANSWER_SECONDS)


async def _subscribe(connection: Connection) -> None:
    await connection.execute(f"LISTEN {CHANNEL}")


async def _readable(connection: Connection, seconds: float) -> bool:
    """Waits for something to arrive; False where nothing does in that time."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    descriptor = connection.fileno()
    loop.add_reader(descriptor, readable.set)
    try:
        async with asyncio.timeout(seconds):
            await readable.wait()
    except TimeoutError:
        return False
    else:
        return True
    finally:
        loop.remove_reader(descriptor)
