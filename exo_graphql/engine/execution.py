"""One execution of one operation against one snapshot, encoded once."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from typing import Any, TypeGuard

import orjson
from graphql import DocumentNode, ExecutionResult, GraphQLError, GraphQLSchema, execute
from graphql.pyutils import is_awaitable

from exo_graphql.engine.compiled import CoercionFallback, NotCompilable, Plans
from exo_graphql.engine.compiled.splices import in_payload, in_signature
from exo_graphql.engine.documents import located
from exo_graphql.engine.errors import Code, internal_error, new_error_id, public_errors
from exo_graphql.engine.worker_pool import Waiter
from exo_graphql.observability.metrics import Fallback
from exo_graphql.schema.context import Context
from exo_graphql.trimmed import trimmed

logger = logging.getLogger("exo_graphql")

# Faults are logged once for each place in the code. There are few such places; a bound all the same.
_MAX_LOGGED_FAULTS = 100


@dataclass(slots=True, eq=False)
class Answer:
    """An encoded result."""

    payload: bytes
    failed: bool
    """Whether `data` is null as a whole (a request error, or an error at the root)."""
    refused: bool
    """A request error (a variable that does not fit): nothing was executed, `data` is absent."""
    time_dependent: bool
    """Whether the result holds the time of the answer, as an age or a remaining time does."""
    completed: bool
    """Whether a subscription ends with this result."""
    signed: bytes | Callable[[], bytes]
    """The signature, or the function that computes it: only live queries need one."""

    @property
    def signature(self) -> bytes:
        """Equal for results that differ in time-dependent fields alone."""
        if not isinstance(self.signed, bytes):
            self.signed = trimmed(self.signed())
        return self.signed


class Executor:
    """Executes operations of one schema: by a compiled plan where there is one, else by graphql-core.

    Resolvers are quick and synchronous, except for those that call exo (mutations, placements).
    """

    def __init__(
        self, schema: GraphQLSchema, *, compiled: bool = True, fallback: Callable[[Fallback], None] | None = None
    ) -> None:
        """`compiled=False`: same results, byte for byte, slower. `fallback` counts what plans left to graphql-core."""
        self._schema = schema
        self._plans = Plans(schema) if compiled else None
        self._fallback = fallback
        self._logged_faults: set[tuple[type[Exception], str, int]] = set()

    def starts_at_once(
        self, document: DocumentNode, variables: Mapping[str, Any] | None, operation_name: str | None
    ) -> bool:
        """Whether executing begins without a long compilation: the operation is compiled, or is so now, in a few ms."""
        if self._plans is None:
            return True
        try:
            return self._plans.compile_soon(document, operation_name, variables)
        except Exception:  # noqa: BLE001  # `execute_compiled` will fail in the same way, and counts it
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

        Raises `GivenUp` when `waiter` has been given up.
        """
        answer = self.execute_compiled(document, context, variables, operation_name)
        if answer is not None:
            return answer
        return self.execute_uncompiled(document, context, variables, operation_name, waiter)

    def execute_compiled(
        self,
        document: DocumentNode,
        context: Context,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
    ) -> Answer | None:
        """The answer by the compiled plan; None where graphql-core must execute the operation."""
        if self._plans is None:
            return None
        # Plans only read, so after any error graphql-core can execute the operation again and report its own errors.
        try:
            return encode(ExecutionResult(self._plans.run(document, operation_name, context, variables)), context)
        except NotCompilable:
            self._count(Fallback.NOT_COMPILABLE)
        except CoercionFallback:
            self._count(Fallback.COERCION)
        except GraphQLError:
            self._count(Fallback.ERROR)
        except Exception as fault:  # noqa: BLE001  # logged and counted; graphql-core answers
            self._count(Fallback.FAULT)
            self._log(fault)
        return None

    def execute_uncompiled(
        self,
        document: DocumentNode,
        context: Context,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
        waiter: Waiter | None = None,
    ) -> Answer | Awaitable[Answer]:
        """As `execute`, but always by graphql-core."""
        result = execute(
            self._schema,
            located(document),
            context_value=context,
            variable_values=dict(variables) if variables else None,
            operation_name=operation_name,
            # graphql-core calls this for each value that a resolver returns: a place to stop between two fields.
            is_awaitable=None if waiter is None else _stopping(waiter),
        )
        if isawaitable(result):
            return _encoded_later(result, context)
        return encode(result, context)

    def _count(self, reason: Fallback) -> None:
        if self._fallback is not None:
            self._fallback(reason)

    def _log(self, fault: Exception) -> None:
        """Logs a fault the first time that it comes from its place: a dashboard would repeat it every second."""
        trace = fault.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = (
            type(fault),
            "" if trace is None else trace.tb_frame.f_code.co_filename,
            0 if trace is None else trace.tb_lineno,
        )
        if place not in self._logged_faults and len(self._logged_faults) < _MAX_LOGGED_FAULTS:
            self._logged_faults.add(place)
            logger.error("fault in a compiled operation; graphql-core executes it instead", exc_info=fault)


async def _encoded_later(result: Awaitable[ExecutionResult], context: Context) -> Answer:
    return encode(await result, context)


def _stopping(waiter: Waiter) -> Callable[[Any], TypeGuard[Awaitable[Any]]]:
    def is_awaitable_or_stop(value: Any) -> TypeGuard[Awaitable[Any]]:
        waiter.check()
        return is_awaitable(value)

    return is_awaitable_or_stop


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
        payload=trimmed(orjson.dumps(body, default=in_payload)),
        failed=result.data is None,
        refused=refused,
        time_dependent=context.time_dependent,
        completed=context.completed,
        signed=partial(orjson.dumps, body, default=in_signature, option=orjson.OPT_PASSTHROUGH_SUBCLASS),
    )


def refusal(errors: Iterable[GraphQLError], code: Code = Code.INTERNAL) -> bytes:
    """The body of a request error: `data` is absent, as the specification wants it.

    `code` is that of errors that do not name themselves.
    """
    return trimmed(orjson.dumps({"errors": public_errors(errors, code)}))


def fault_of(error: Exception) -> Answer:
    """Logs the error of an execution; returns the last message of its subscription."""
    error_id = new_error_id()
    logger.error("internal error %s in a live query", error_id, exc_info=error)
    payload = refusal((internal_error(error_id),))
    return Answer(payload, failed=True, refused=True, time_dependent=False, completed=True, signed=payload)
