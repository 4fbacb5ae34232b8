"""A whole operation, compiled: for each setting of the variables that @skip and @include look at, one plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import OperationDefinitionNode
from graphql.execution import get_variable_values

from exo_graphql.engine.compiled.arguments import Arguments
from exo_graphql.engine.compiled.compiler import Compilation, Fields
from exo_graphql.engine.compiled.leaf import CoercionFallback
from exo_graphql.engine.compiled.object_compiler import Complete
from exo_graphql.engine.compiled.selection import Fragments, NotCompilable, conditions, is_included
from exo_graphql.schema.context import Context

# Settings of the variables of @skip and @include that are kept for one operation.
MAX_PLANS = 16


class Info:
    """What a resolver is given by a plan: as much of Strawberry's `Info` as the house's resolvers use."""

    __slots__ = ("arguments", "context")

    def __init__(self, context: Context, arguments: Sequence[Mapping[str, Any]]) -> None:
        self.context = context
        self.arguments = arguments
        """What resolvers are called with besides; readers know the places."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An operation compiled for one setting."""

    root: Complete
    arguments: tuple[Arguments, ...]

    def run(self, context: Context, variables: Any) -> dict[str, Any]:
        """The response's data, or any exception. `variables` are coerced ones."""
        data: dict[str, Any] = self.root(None, Info(context, [each.values(variables) for each in self.arguments]))
        return data


class Operation:
    """An operation of a valid document, and its plans so far."""

    def __init__(self, fields: Fields, node: OperationDefinitionNode, fragments: Fragments) -> None:
        self._fields = fields
        self._node = node
        self._fragments = fragments
        self._conditions = conditions(fragments, node.selection_set)
        self._plans: dict[tuple[bool, ...], Plan | None] = {}

    @property
    def plan_count(self) -> int:
        """Settings that were met, at most `MAX_PLANS`."""
        return len(self._plans)

    def run(self, context: Context, inputs: Mapping[str, Any] | None) -> dict[str, Any]:
        """The response's data. Any exception means that graphql-core has to execute the operation instead."""
        variables = self._variables(inputs)
        plan = self._plan(variables)
        if plan is None:
            raise NotCompilable
        return plan.run(context, variables)

    def is_compiled(self, inputs: Mapping[str, Any] | None) -> bool:
        """Whether `run` has nothing to compile for these variables, be it that this was tried in vain."""
        variables = self._variables(inputs) if self._conditions else None
        return tuple(is_included(selection, variables) for selection in self._conditions) in self._plans

    def _variables(self, inputs: Mapping[str, Any] | None) -> Any:
        if not self._node.variable_definitions:
            return None
        variables = get_variable_values(self._fields.schema, self._node.variable_definitions, dict(inputs or {}))
        if isinstance(variables, list):  # of errors
            raise CoercionFallback
        return variables

    def _plan(self, variables: Any) -> Plan | None:
        setting = tuple(is_included(selection, variables) for selection in self._conditions)
        if setting not in self._plans:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            self._plans[setting] = None  # what cannot be compiled is not tried again
            compilation = Compilation(self._fields, self._node, self._fragments, variables)
            self._plans[setting] = Plan(compilation.root, tuple(compilation.arguments))
        return self._plans[setting]
