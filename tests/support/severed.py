"""A connection between a program and its database that can be held up, byte for byte, or broken."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self
from urllib.parse import urlsplit, urlunsplit


class Severed:
    """Passes bytes on between clients and one server, until it is told to hold them up."""

    def __init__(self, url: str) -> None:
        """`url` is the server's."""
        self._target = urlsplit(url)
        self.url = url
        """Where clients connect."""
        self._before: bytes | None = None
        self._cut = False
        self._let_through = False
        self._held: set[asyncio.StreamWriter] = set()
        """The clients whose connection says nothing any more."""
        self._clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def between(cls, url: str) -> AsyncIterator[Self]:
        """A running one."""
        made = cls(url)
        server = await asyncio.start_server(made._connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        name = "" if made._target.username is None else f"{made._target.username}@"
        made.url = urlunsplit(made._target._replace(netloc=f"{name}127.0.0.1:{port}"))
        try:
            yield made
        finally:
            server.close()
            for task in made._tasks:
                task.cancel()
            await asyncio.gather(*made._tasks, return_exceptions=True)

    def hold(self, *, before: bytes, let_through: bool) -> None:
        """From the first message that contains `before` on, its connection is silent.

        `let_through`: that message still reaches the server, and only the answer is lost.
        """
        self._before, self._let_through = before, let_through

    def cut(self) -> None:
        """Breaks all connections, and every new one, as where the database has gone."""
        self._cut = True
        for client in tuple(self._clients):
            client.transport.abort()

    def silence(self) -> None:
        """All connections are silent from now on, and every new one, as where the network is gone."""
        self.hold(before=b"", let_through=False)

    def release(self) -> None:
        """New connections are passed on again; those that were held up stay silent."""
        self._before = None
        self._cut = False

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        self._clients.add(writer)
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        for source, sink, is_request in ((reader, back, True), (there, writer, False)):
            task = asyncio.create_task(self._pass_on(source, sink, writer, is_request=is_request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        *,
        is_request: bool,
    ) -> None:
        try:
            while data := await source.read(65536):
                held = client in self._held
                if is_request and self._before is not None and self._before in data:
                    self._held.add(client)
                    held = held or not self._let_through
                if not held:
                    sink.write(data)
                    await sink.drain()
        except OSError:
            pass  # one side has gone
        finally:
            self._clients.discard(client)
            sink.close()
            with suppress(OSError):
                await sink.wait_closed()
