"""A whole operation, compiled: one plan for each combination of its @skip and @include conditions.

The first request's plan is made for the values of its variables, as if they were written in the text. Many texts come
once or always with the same variables, and only a field whose arguments are known has a place, whose value others have
read (`splices`). Other values have plans that take them as they come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from graphql import OperationDefinitionNode
from graphql.execution import get_variable_values

from exo_graphql.engine.compiled.arguments import Arguments
from exo_graphql.engine.compiled.compiler import Compilation, Fields
from exo_graphql.engine.compiled.leaf import CoercionFallback
from exo_graphql.engine.compiled.object_compiler import Complete, TakesLong, Work
from exo_graphql.engine.compiled.selection import Fragments, NotCompilable, conditions, is_included
from exo_graphql.engine.compiled.splices import Generation
from exo_graphql.schema.context import Context

# Plans of one operation that are kept. Four independent conditions have 16 combinations; clients use one or two.
MAX_PLANS = 16
# Variables for which a plan is made are a part of the identity of all that it reads.
_MAX_BOUND_BYTES = 1_000
# Fields that are compiled while others wait, each new line of a function counted as two: 2 to 4 ms.
_FIELDS_SOON = 500


class Info:
    """What a plan passes to a resolver: as much of Strawberry's `Info` as the resolvers of this schema use."""

    __slots__ = ("arguments", "context", "generation")

    def __init__(self, context: Context, generation: Generation, arguments: Sequence[Mapping[str, Any]]) -> None:
        self.context = context
        self.generation = generation
        """Encoded parts that are known for this snapshot."""
        self.arguments = arguments
        """Keyword arguments of resolvers, by the index that was compiled into their readers."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An operation compiled for one combination of conditions."""

    root: Complete
    arguments: tuple[Arguments, ...]

    def run(self, context: Context, generation: Generation, variables: Any) -> dict[str, Any]:
        """The response's data. Raises what `Plans.run` raises. `variables` are coerced."""
        arguments = [each.values(variables) for each in self.arguments]
        data: dict[str, Any] = self.root(None, Info(context, generation, arguments))
        return data


class Operation:
    """An operation of a valid document, and its plans so far."""

    def __init__(self, fields: Fields, node: OperationDefinitionNode, fragments: Fragments) -> None:
        self._fields = fields
        self._node = node
        self._fragments = fragments
        self._conditions = conditions(fragments, node.selection_set)
        self._plans: dict[tuple[bool, ...] | bytes, Plan | None] = {}
        """By the values of the conditions, or of all variables; None for what cannot be compiled, so that it is not
        tried again."""
        self._first: bytes | None = None
        """The variables of the first request."""

    @property
    def plan_count(self) -> int:
        """Plans that were compiled, at most `MAX_PLANS`."""
        return len(self._plans)

    def run(self, context: Context, inputs: Mapping[str, Any] | None) -> dict[str, Any]:
        """The response's data. Raises what `Plans.run` raises."""
        variables = self._variables(inputs)
        plan = self._plan(variables, self._bound(inputs))
        if plan is None:
            raise NotCompilable
        return plan.run(context, self._fields.splices.generation(context), variables)

    def compile_soon(self, inputs: Mapping[str, Any] | None) -> bool:
        """Compiles the plan for these variables, if it takes a few milliseconds at most.

        Whether `run` has nothing to compile now, also because it cannot be compiled.
        """
        bound = self._bound(inputs)
        variables = None if bound is None and not self._conditions else self._variables(inputs)
        try:
            self._plan(variables, bound, Work(_FIELDS_SOON))
        except TakesLong:
            return False
        except NotCompilable:
            pass  # `run` raises it at once
        return True

    def _variables(self, inputs: Mapping[str, Any] | None) -> Any:
        if not self._node.variable_definitions:
            return None
        variables = get_variable_values(self._fields.schema, self._node.variable_definitions, dict(inputs or {}))
        if isinstance(variables, list):  # of errors
            raise CoercionFallback
        return variables

    def _bound(self, inputs: Mapping[str, Any] | None) -> bytes | None:
        """The variables if they are those of the first request."""
        if not self._node.variable_definitions:
            return None
        try:
            written = orjson.dumps(inputs or {})  # 1, 1.0 and True are equal, but not alike
        except TypeError:
            return None
        if self._first is None:
            self._first = written
        return written if written == self._first and len(written) <= _MAX_BOUND_BYTES else None

    def _plan(self, variables: Any, bound: bytes | None, work: Work | None = None) -> Plan | None:
        key = tuple(is_included(selection, variables) for selection in self._conditions) if bound is None else bound
        if key not in self._plans:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            try:
                compilation = Compilation(
                    self._fields, self._node, self._fragments, variables, work, bind=bound is not None
                )
            except TakesLong:
                raise
            except Exception:
                self._plans[key] = None
                raise
            self._plans[key] = Plan(compilation.root, tuple(compilation.arguments))
        return self._plans[key]
