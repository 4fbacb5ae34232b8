"""One command's conversation with the server."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from exo_graphql.cli.client import Client, Data, Reply
from exo_graphql.cli.documents import document
from exo_graphql.cli.failures import NoServer, Unanswered, from_errors, from_problem
from exo_graphql.cli.terminal import Terminal, clean

View = Callable[[Console, Data], None]

_RETRY_PAUSES = (0.5, 2.0)


class Session:
    """Asks, shows, and raises `Failure` for whatever is not an answer."""

    def __init__(self, url: str, token: str | None, *, as_json: bool, ca_file: Path | None = None) -> None:
        self._url = url
        self._ca_file = ca_file
        self._token = token
        self.terminal = Terminal(as_json=as_json)

    def client(self) -> Client:
        """A client of the server, to be entered."""
        return Client(self._url, self._token, self._ca_file)

    def ask(self, name: str, **variables: object) -> Data:
        """The data that answer the document of that name."""
        return self._data(asyncio.run(self._ask(name, variables)))

    def show(self, data: Data, view: View) -> None:
        """Prints the data: as they are for a machine, in the words of `view` for people."""
        if self.terminal.as_json:
            self.terminal.print_json(data)
        else:
            view(self.terminal.out, clean(data))

    def wish(self, name: str, idempotency_key: str | None, **variables: object) -> Data:
        """The data that answer a mutation which has an idempotency key, and so may safely be sent again."""
        given = {**variables, "idempotencyKey": idempotency_key or uuid.uuid4().hex}
        return self._accepted(self._data(asyncio.run(self._insist(name, given))))

    def act(self, name: str, **variables: object) -> Data:
        """The data that answer any other mutation."""
        return self._accepted(self.ask(name, **variables))

    async def _ask(self, name: str, variables: Mapping[str, Any]) -> Reply:
        async with self.client() as client:
            return await client.ask(document(name), variables)

    async def _insist(self, name: str, variables: Mapping[str, Any]) -> Reply:
        for pause in _RETRY_PAUSES:
            try:
                return await self._ask(name, variables)
            except Unanswered:
                await asyncio.sleep(pause)
        try:
            return await self._ask(name, variables)
        except NoServer as error:
            raise NoServer(
                f"{error.message} Whether it has accepted this is not known.", "See `exo-graphql operations`."
            ) from error

    def _data(self, reply: Reply) -> Data:
        if reply.data is not None and not reply.errors:
            return reply.data
        if self.terminal.as_json and reply.has_data:
            self.terminal.print_json(reply.data)
        raise from_errors(reply.errors)

    def _accepted(self, data: Data) -> Data:
        (payload,) = data.values()
        if payload["error"] is None:
            return data
        if self.terminal.as_json:
            self.terminal.print_json(data)
        raise from_problem(payload["error"])


def session_of(ctx: typer.Context) -> Session:
    """The session that the global options have made."""
    session = ctx.find_object(Session)
    if session is None:
        raise RuntimeError("a command without its global options")
    return session
