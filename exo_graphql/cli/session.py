"""What one command requests from the server, and how it shows the answer."""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import typer
from rich.console import RenderableType

from exo_graphql.cli import interrupts
from exo_graphql.cli.client import Client, Data, Reply
from exo_graphql.cli.failures import Failure, NoServer, Unanswered, from_errors, from_operation_error
from exo_graphql.cli.terminal import Terminal, clean
from exo_graphql.cli.unique_names import with_unique_names
from exo_graphql.documents import document

View = Callable[[Data, bool], Iterable[RenderableType]]

# The length of a UUID: the ids of exo's tasks and instances, and of operations.
WHOLE_ID = 36
# Seconds before the second and the third try: a server that is being restarted answers again within these 2.5 s.
_RETRY_PAUSES = (0.5, 2.0)


class Session:
    """Sends documents and shows the data. Raises `Failure` where there is an error instead of an answer."""

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

    def ask(self, name: str, /, **variables: object) -> Data:
        """The data of the response to the query of that name."""
        return self._data(interrupts.run(self._ask(name, variables)))

    def show(self, data: Data, view: View, failure: Failure | None = None) -> None:
        """Prints the data: as JSON with --json, else as `view` renders it. Then raises `failure`, if given."""
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

    def mutate(self, name: str, idempotency_key: str | None, /, **variables: object) -> Data:
        """Sends a mutation that takes an idempotency key, and so is safe to send again after a broken connection."""
        return self.mutate_safely(name, **variables, idempotencyKey=idempotency_key or uuid.uuid4().hex)

    def mutate_safely(self, name: str, /, **variables: object) -> Data:
        """Sends a mutation that has the same result however often it arrives."""
        return self._accepted(self._data(interrupts.run(self._retry(name, variables))))

    def mutate_once(self, name: str, /, **variables: object) -> Data:
        """Sends any other mutation. It is never sent twice."""
        return self._accepted(self.ask(name, **variables))

    def whole_id(self, given: str, known: Callable[[], Iterable[Mapping[str, Any]]]) -> str:
        """The id that begins with `given`; `given` itself where none does. Raises `Failure` where several do."""
        if len(given) >= WHOLE_ID:
            return given
        matches = [entry["id"] for entry in known() if entry["id"].startswith(given)]
        if len(matches) > 1 and given not in matches:
            raise Failure(f"Several ids begin with {given!r}.", f"Choices: {', '.join(matches)}", "ID_AMBIGUOUS")
        return matches[0] if len(matches) == 1 else given

    async def _ask(self, name: str, variables: Mapping[str, Any]) -> Reply:
        async with self.client() as client:
            return await client.ask(document(name), variables)

    async def _retry(self, name: str, variables: Mapping[str, Any]) -> Reply:
        for pause in _RETRY_PAUSES:
            try:
                return await self._ask(name, variables)
            except Unanswered:
                await asyncio.sleep(pause)
        try:
            return await self._ask(name, variables)
        except NoServer as error:
            raise NoServer(
                f"{error.message} The server may have accepted the request.", "Check with `exo-graphql operations`."
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
        failure = from_operation_error(payload["error"])
        failure.data = data
        raise failure


def session_of(ctx: typer.Context) -> Session:
    """The session made from the global options."""
    session = ctx.find_object(Session)
    if session is None:
        raise RuntimeError("a command without its global options")
    return session
