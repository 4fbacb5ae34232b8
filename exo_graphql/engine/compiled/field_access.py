"""How a field of the schema is read: the attribute or the function that lies below Strawberry's layers.

Strawberry wraps each resolver in layers that convert, await and extend. A field that needs none of them is read by
`getattr`, or by a call of the function itself, with the same result. Any other field is `NotCompilable`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, unique
from functools import partial
from typing import Any

from graphql import GraphQLEnumType, GraphQLField, GraphQLScalarType, get_named_type
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver

from exo_graphql.engine.compiled.selection import NotCompilable


@unique
class Call(Enum):
    """The positional arguments of a resolver, as source; `{value}` is the parent."""

    PARENT = "{value}"
    PARENT_AND_INFO = "{value}, info"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class FieldAccess:
    """A field that is an attribute (`attribute`) or a plain function (`function`, called as `call` says)."""

    attribute: str | None
    function: Callable[..., Any] | None = None
    call: Call = Call.PARENT
    python_names: Mapping[str, str] | None = None
    """The function's parameter for each GraphQL argument; None without any."""

    @property
    def is_of_value_alone(self) -> bool:
        """Whether it follows from the object that has the field, and from arguments, alone."""
        return self.function is None or self.call is Call.PARENT

    def with_arguments(self, arguments: Mapping[str, Any]) -> "FieldAccess":
        """The same with its function bound to these arguments."""
        return replace(self, function=partial(self.function, **arguments)) if self.function else self


def access_of(field: GraphQLField) -> FieldAccess:
    """How the field is read. Raises `NotCompilable`."""
    definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(definition, StrawberryField) or definition.extensions or definition.is_async:
        raise NotCompilable
    resolver = definition.base_resolver
    if resolver is None:
        if not definition.is_basic_field or definition.default_resolver is not getattr:
            raise NotCompilable
        return FieldAccess(definition.python_name)
    function = resolver.wrapped_func
    if not inspect.isfunction(function) or inspect.isasyncgenfunction(function):
        raise NotCompilable
    names = {argument.python_name: argument for argument in definition.arguments}
    return FieldAccess(None, function, _call(resolver, len(names)), _python_names(field, names) if names else None)


def _call(resolver: StrawberryResolver[Any], argument_count: int) -> Call:
    parent = resolver.parent_parameter or resolver.root_parameter
    reserved = [p for p in (parent, resolver.info_parameter) if p is not None]
    parameters = list(resolver.signature.parameters.values())
    if resolver.self_parameter is not None or parameters[: len(reserved)] != reserved:
        raise NotCompilable
    if len(parameters) != len(reserved) + argument_count or not reserved:
        raise NotCompilable
    if any(p.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD for p in parameters):
        raise NotCompilable
    if parent is None:
        return Call.INFO
    return Call.PARENT if resolver.info_parameter is None else Call.PARENT_AND_INFO


def _python_names(field: GraphQLField, arguments: Mapping[str, Any]) -> Mapping[str, str]:
    # Strawberry passes scalars, enums and lists of them on as graphql-core made them; input objects it converts.
    if not all(isinstance(get_named_type(a.type), GraphQLScalarType | GraphQLEnumType) for a in field.args.values()):
        raise NotCompilable
    by_definition = {id(argument): name for name, argument in arguments.items()}
    names = {
        graphql_name: by_definition.get(id(argument.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)))
        for graphql_name, argument in field.args.items()
    }
    if None in names.values() or len(names) != len(arguments):
        raise NotCompilable
    return {graphql_name: name for graphql_name, name in names.items() if name is not None}
