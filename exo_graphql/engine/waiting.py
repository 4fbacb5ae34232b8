"""Queries that wait: `operation(id, waitSeconds)` and `modelStatus(model, until, waitSeconds)`.

A request waits before it is executed, and is then executed as any other. Meanwhile it holds a future and nothing else:
no thread, no place in the worker pool. Requests that wait for the same thing share one condition, which is looked at
once for each new snapshot and each change of an operation. The wait of a request ends where its caller goes (the
transports cancel it), and all end when the server shuts down.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Self

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    Undefined,
    value_from_ast_untyped,
)

from exo_graphql.cluster.upstream import Upstream
from exo_graphql.engine.limits import LimitExceeded
from exo_graphql.engine.requests import GraphQLRequest
from exo_graphql.operations import Operations
from exo_graphql.schema.enums import ModelStatusUntil
from exo_graphql.schema.until import MAX_WAIT_SECONDS, has_ended, has_settled, named_status

# Requests that wait at once. Each is also an open connection, of which 12,000 are allowed.
MAX_WAITING = 2_000
ARGUMENT = "waitSeconds"
"""A request whose text does not name it does not wait."""


@dataclass(frozen=True, slots=True)
class _Condition:
    """What a request waits for: an operation by its id, or a model by the name that was given."""

    field: str
    name: str
    until: str | None = None


class Waits:
    """The requests that wait. Use as a context manager: within it, what they wait for is noticed."""

    def __init__(self, upstream: Upstream, operations: Operations) -> None:
        self._upstream = upstream
        self._operations = operations
        self._waiting: dict[_Condition, set[asyncio.Future[None]]] = {}
        self._leaving = False
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._upstream.listen(lambda _: self._look()))
        self._stack.callback(self._operations.listen(self._look))
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._stack.close()

    @property
    def count(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    def end(self) -> None:
        """Ends all waits, now and from now on: each request is answered with what is true now."""
        self._leaving = True
        self._look()

    def _look(self) -> None:
        for condition in [each for each in self._waiting if self._is_met(each)]:
            for future in self._waiting.pop(condition):
                if not future.done():
                    future.set_result(None)

    def _is_met(self, condition: _Condition) -> bool:
        if self._leaving:
            return True
        if condition.field == "operation":
            return has_ended(self._operations, condition.name)
        snapshot = self._upstream.snapshot
        return snapshot is not None and has_settled(named_status(snapshot, condition.name), condition.until)

    async def wait(self, request: GraphQLRequest, document: DocumentNode, operation: OperationDefinitionNode) -> bool:
        """Waits as long as the request's waiting field says. Whether it has one. Raises `LimitExceeded`."""
        field = self._field(request, document, operation)
        if field is None:
            return False
        seconds, condition = field
        if not self._is_met(condition):
            await self._until(condition, seconds)
        return True

    def _field(
        self, request: GraphQLRequest, document: DocumentNode, operation: OperationDefinitionNode
    ) -> tuple[float, _Condition] | None:
        """How long the one waiting field waits, and whether what it waits for is there."""
        given = _variables(request, operation)
        fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        # By key of the response: a field that is written twice under one key is one field.
        found = {
            node.alias.value if node.alias else node.name.value: waiting
            for node in _root_fields(operation.selection_set, fragments, given)
            if (waiting := self._waiting_field(node, given)) is not None
        }
        if len(found) > 1:
            raise LimitExceeded(
                "max_waiting_fields", 1, f"{len(found)} fields that wait", "Send several requests.", actual=len(found)
            )
        return next(iter(found.values()), None)

    def _waiting_field(self, node: FieldNode, variables: Mapping[str, Any]) -> tuple[float, _Condition] | None:
        name = node.name.value
        if name not in ("operation", "modelStatus"):
            return None
        read = {a.name.value: value_from_ast_untyped(a.value, dict(variables)) for a in node.arguments or ()}
        # null, and a variable that was left out, mean the default.
        given = {name: value for name, value in read.items() if value is not None and value is not Undefined}
        seconds = given.get(ARGUMENT)
        # JSON has one kind of number: a client's 2.0 is an Int.
        if not isinstance(seconds, int | float) or seconds % 1 or not 0 < seconds <= MAX_WAIT_SECONDS:
            return None  # nothing to wait for, or an argument that the field itself rejects
        if name == "operation":
            return seconds, _Condition(name, str(given.get("id")))
        until = str(given.get("until", ModelStatusUntil.READY.name))
        return seconds, _Condition(name, str(given.get("model")), until)

    async def _until(self, condition: _Condition, seconds: float) -> None:
        if self.count >= MAX_WAITING:
            raise LimitExceeded(
                "max_waiting_requests",
                MAX_WAITING,
                "one request too many that waits, with those of others",
                "Leave waitSeconds out, or subscribe.",
            )
        met = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(condition, set())
        waiting.add(met)
        try:
            # As for a subscriber: exo is read at the normal interval.
            with self._upstream.subscriber(), suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await met
        finally:
            waiting.discard(met)
            if not waiting and self._waiting.get(condition) is waiting:
                del self._waiting[condition]


def _variables(request: GraphQLRequest, operation: OperationDefinitionNode) -> dict[str, Any]:
    defaults = {
        each.variable.name.value: value_from_ast_untyped(each.default_value)
        for each in operation.variable_definitions or ()
        if each.default_value is not None
    }
    return {**defaults, **(request.variables or {})}


def _root_fields(
    selection_set: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode], variables: Mapping[str, Any]
) -> Iterator[FieldNode]:
    """The fields at the root that are executed, those in fragments included."""
    for selection in selection_set.selections:
        if not _is_included(selection, variables):
            continue
        if isinstance(selection, FieldNode):
            yield selection
        elif isinstance(selection, FragmentSpreadNode):
            yield from _root_fields(fragments[selection.name.value].selection_set, fragments, variables)
        elif isinstance(selection, InlineFragmentNode):
            yield from _root_fields(selection.selection_set, fragments, variables)


def _is_included(selection: SelectionNode, variables: Mapping[str, Any]) -> bool:
    for directive in selection.directives or ():
        if directive.name.value in ("skip", "include") and directive.arguments:
            condition = value_from_ast_untyped(directive.arguments[0].value, dict(variables))
            if bool(condition) is (directive.name.value == "skip"):
                return False
    return True
