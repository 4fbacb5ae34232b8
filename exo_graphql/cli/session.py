"""One command's conversation with the server."""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import typer
from rich.console import RenderableType

from exo_graphql.cli import interrupts
from exo_graphql.cli.client import Client, Data, Reply
from exo_graphql.cli.failures import Failure, NoServer, Unanswered, from_errors, from_problem
from exo_graphql.cli.terminal import Terminal, clean
from exo_graphql.cli.unique_names import with_unique_names
from exo_graphql.documents import document

View = Callable[[Data, bool], Iterable[RenderableType]]

# The length of a UUID, as all ids of exo's tasks and instances and of operations are.
WHOLE_ID = 36
_RETRY_PAUSES = (0.5, 2.0)


class Session:
    """Asks, shows, and raises `Failure` for whatever is not an answer."""

    def __init__(
        self, url: str, token: str | None, *, as_json: bool, wide: bool = False, ca_file: Path | None = None
    ) -> None:
        self._url = url
        self._ca_file = ca_file
        self._token = token
        self.wide = wide
        self.terminal = Terminal(as_json=as_json)

    def client(self) -> Client:
        """A client of the server, to be entered."""
        return Client(self._url, self._token, self._ca_file)

    def ask(self, name: str, **variables: object) -> Data:
        """The data that answer the document of that name."""
        return self._data(interrupts.run(self._ask(name, variables)))

    def show(self, data: Data, view: View, failure: Failure | None = None) -> None:
        """Prints the data: as they are for a machine, in the words of `view` for people. Then raises `failure`."""
        if failure is not None:
            failure.data = data
        if self.terminal.as_json:
            if failure is not None:
                raise failure
            self.terminal.print_json(data)
        else:
            for part in view(with_unique_names(clean(data)), self.wide):
                self.terminal.show(part)
        if failure is not None:
            raise failure

    def wish(self, name: str, idempotency_key: str | None, **variables: object) -> Data:
        """The data that answer a mutation which has an idempotency key, and so may safely be sent again."""
        given = {**variables, "idempotencyKey": idempotency_key or uuid.uuid4().hex}
        return self._accepted(self._data(interrupts.run(self._insist(name, given))))

    def act(self, name: str, **variables: object) -> Data:
        """The data that answer any other mutation."""
        return self._accepted(self.ask(name, **variables))

    def whole_id(self, given: str, known: Callable[[], Iterable[Mapping[str, Any]]]) -> str:
        """The id that `given` is, or begins. What begins none is left as it is; raises `Failure` for several."""
        if len(given) >= WHOLE_ID:
            return given
        meant = [entry["id"] for entry in known() if entry["id"].startswith(given)]
        if len(meant) > 1 and given not in meant:
            raise Failure(f"Several ids begin with {given!r}.", f"Choices: {', '.join(meant)}", "ID_AMBIGUOUS")
        return meant[0] if len(meant) == 1 else given

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
        failure = from_errors(reply.errors)
        failure.data = reply.data
        raise failure

    def _accepted(self, data: Data) -> Data:
        (payload,) = data.values()
        if payload["error"] is None:
            return data
        failure = from_problem(payload["error"])
        failure.data = data
        raise failure


def session_of(ctx: typer.Context) -> Session:
    """The session that the global options have made."""
    session = ctx.find_object(Session)
    if session is None:
        raise RuntimeError("a command without its global options")
    return session
