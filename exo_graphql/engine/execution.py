"""One execution of one operation against one picture, encoded once."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from typing import Any, TypeGuard

import orjson
from graphql import DocumentNode, ExecutionResult, GraphQLError, GraphQLSchema, execute
from graphql.pyutils import is_awaitable

from exo_graphql.engine.compiled import Plans
from exo_graphql.engine.errors import Code, public_errors
from exo_graphql.engine.worker_pool import Waiter
from exo_graphql.schema.context import Context
from exo_graphql.schema.volatile import VolatileNumber, VolatileText


@dataclass(slots=True, eq=False)
class Answer:
    """An encoded result."""

    payload: bytes
    failed: bool
    """Whether `data` is null as a whole (a request error, or an error at the root)."""
    refused: bool
    """A request error (a variable that does not fit): nothing was executed, `data` is absent."""
    time_dependent: bool
    completed: bool
    signed: bytes | Callable[[], bytes]
    """The signature, or how to get it: only live queries need one."""

    @property
    def signature(self) -> bytes:
        """Equal for results that differ in clock fields alone."""
        if not isinstance(self.signed, bytes):
            self.signed = self.signed()
        return self.signed


# A document of as many characters is compiled on the event loop. The most expensive one of this length takes 4 ms.
COMPILED_AT_ONCE = 400


class Executor:
    """Executes operations of one schema. Resolvers are quick and synchronous, but for what asks exo."""

    def __init__(self, schema: GraphQLSchema, *, compiled: bool = True) -> None:
        """`compiled`: whether plain operations take the short way. Their answers are the same, byte for byte."""
        self._schema = schema
        self._plans = Plans(schema) if compiled else None

    def is_quick(self, document: DocumentNode, variables: Mapping[str, Any] | None, operation_name: str | None) -> bool:
        """Whether executing begins at once: a long document is compiled first, which takes a while."""
        if self._plans is None or document.loc is None or document.loc.end <= COMPILED_AT_ONCE:
            return True
        try:
            return self._plans.is_compiled(document, operation_name, variables)
        except Exception:  # noqa: BLE001  # as in `plain`: graphql-core will tell of it, and nothing is compiled
            return True

    def execute(
        self,
        document: DocumentNode,
        context: Context,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
        waiter: Waiter | None = None,
    ) -> Answer | Awaitable[Answer]:
        """The answer, or an awaitable of it if a resolver has to wait (mutations, placements).

        Raises `GivenUp` once nobody waits for it any more.
        """
        answer = self.plain(document, context, variables, operation_name)
        if answer is not None:
            return answer
        result = execute(
            self._schema,
            document,
            context_value=context,
            variable_values=dict(variables) if variables else None,
            operation_name=operation_name,
            # graphql-core asks this of each value that a resolver returns: where it can be ended between two fields.
            is_awaitable=None if waiter is None else _watched(waiter),
        )
        if isawaitable(result):
            return self._later(result, context)
        return encode(result, context)

    def plain(
        self,
        document: DocumentNode,
        context: Context,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
    ) -> Answer | None:
        """The answer by the short way; None where there is none, or where an error is to be told."""
        if self._plans is not None:
            # Whatever is raised, graphql-core meets it again and tells of it in its own words.
            with suppress(Exception):
                data = self._plans.run(document, operation_name, context, variables)
                return encode(ExecutionResult(data), context)
        return None

    @staticmethod
    async def _later(result: Awaitable[ExecutionResult], context: Context) -> Answer:
        return encode(await result, context)


def _watched(waiter: Waiter) -> Callable[[Any], TypeGuard[Awaitable[Any]]]:
    def watched(value: Any) -> TypeGuard[Awaitable[Any]]:
        waiter.check()
        return is_awaitable(value)

    return watched


def encode(result: ExecutionResult, context: Context) -> Answer:
    """Encodes a result once, for however many will be sent it."""
    body: dict[str, Any] = {}
    # A field's error has a path; one without was raised before any field was executed.
    refused = result.data is None and bool(result.errors) and all(e.path is None for e in result.errors or ())
    if result.errors:
        body["errors"] = public_errors(result.errors, Code.BAD_USER_INPUT)
    if not refused:
        body["data"] = result.data
    return Answer(
        payload=orjson.dumps(body, default=_plain),
        failed=result.data is None,
        refused=refused,
        time_dependent=context.time_dependent,
        completed=context.completed,
        signed=partial(orjson.dumps, body, default=_ignore_clocks, option=orjson.OPT_PASSTHROUGH_SUBCLASS),
    )


def refusal(errors: Iterable[GraphQLError], code: Code = Code.INTERNAL) -> bytes:
    """The body of a request error: `data` is absent, as the specification wants it.

    `code` is that of errors that do not name themselves.
    """
    return orjson.dumps({"errors": public_errors(errors, code)})


def _plain(value: object) -> object:
    # orjson knows subclasses of str, not of float.
    if isinstance(value, VolatileNumber):
        return float(value)
    raise TypeError(f"{type(value).__name__} in a result")


def _ignore_clocks(value: object) -> None:
    if not isinstance(value, VolatileNumber | VolatileText):
        raise TypeError(f"{type(value).__name__} in a result")
