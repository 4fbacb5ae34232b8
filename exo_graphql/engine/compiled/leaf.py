"""Leaf values: what passes as it is, and who is asked about the rest.

Nearly every value is of the one Python type that its GraphQL type writes unchanged. A `Leaf` says, as a piece of the
reader's source, how to tell that a value is not; such a value is then handed to the type itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from graphql import GraphQLEnumType, GraphQLNamedType, Undefined, specified_scalar_types

# What is told of `{value}` where it may not be written as it is. The limits: Int has 32 bits, Float is finite.
_FALLBACK = {
    "String": "{value}.__class__ is not str",
    "ID": "{value}.__class__ is not str",
    "Boolean": "{value}.__class__ is not bool",
    "Int": "{value}.__class__ is not int or not -2147483648 <= {value} <= 2147483647",
    "Float": "{value}.__class__ is not float or not -1.7976931348623157e308 <= {value} <= 1.7976931348623157e308",
}


class CoercionFallback(Exception):
    """A value is not what its type promises, or null where nothing may be: graphql-core tells of it."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """How the values of one leaf type are written."""

    unusual: str
    """Source of the condition under which `coerce` is asked; empty for always."""
    coerce: Callable[[Any], Any]
    """The type's own opinion. Raises whatever the type raises, and `Unusual` for no value."""
    enum: type[Enum] | None = None
    """An enum whose members are written by their names."""


def leaf_of(type_: GraphQLNamedType) -> Leaf:
    """The leaf of a scalar or an enum."""
    if isinstance(type_, GraphQLEnumType):
        return Leaf("", _coercion(type_), _enum_of(type_))
    if specified_scalar_types.get(type_.name) is type_:
        return Leaf(_FALLBACK[type_.name], _coercion(type_))
    return Leaf("", _coercion(type_))


def _coercion(type_: GraphQLNamedType) -> Callable[[Any], Any]:
    coerce: Callable[[Any], Any] = type_.coerce_output_value  # type: ignore[attr-defined]  # a leaf type has it

    def coerced(value: Any) -> Any:
        result = None if value is None else coerce(value)
        if result is None or result is Undefined:
            raise CoercionFallback
        return result

    return coerced


def _enum_of(type_: GraphQLEnumType) -> type[Enum] | None:
    """The Python enum behind the type, if each of its members is written by its own name."""
    enum = getattr(type_, "wrapped_cls", None)  # Strawberry's
    if not (isinstance(enum, type) and issubclass(enum, Enum)):
        return None
    return enum if all(type_.coerce_output_value(member) == member.name for member in enum) else None
