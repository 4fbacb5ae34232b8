"""Leaf values: which are written as they are, and how the others are coerced.

Nearly every value is of the one Python type that its GraphQL type writes unchanged: a String field holds a `str`. A
`Leaf` holds the test for the other values as Python source, for the generated reader; such a value is coerced by its
type. Calling the type for every value instead would take as long as everything else a reader does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from graphql import GraphQLEnumType, GraphQLNamedType, Undefined, specified_scalar_types

# True for a `{value}` that must be coerced. The limits: Int has 32 bits, Float is finite.
_NEEDS_COERCION = {
    "String": "{value}.__class__ is not str",
    "ID": "{value}.__class__ is not str",
    "Boolean": "{value}.__class__ is not bool",
    "Int": "{value}.__class__ is not int or not -2147483648 <= {value} <= 2147483647",
    "Float": "{value}.__class__ is not float or not -1.7976931348623157e308 <= {value} <= 1.7976931348623157e308",
}


class CoercionFallback(Exception):
    """A value does not fit its type, or is null where null is not allowed: graphql-core reports it."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """How the values of one leaf type are written."""

    needs_coercion: str
    """Source of the condition under which `coerce` is called; empty for always."""
    coerce: Callable[[Any], Any]
    """The type's own coercion. Raises `CoercionFallback` for null, and for what the type rejects."""
    enum: type[Enum] | None = None
    """An enum whose members are written by their names."""

    @property
    def nullable_items(self) -> Callable[[Sequence[Any]], list[Any]]:
        """A function that completes the items of a list of this type, any of which may be null."""
        return _nullable_items(self.needs_coercion, self.coerce)


def leaf_of(type_: GraphQLNamedType) -> Leaf:
    """The leaf of a scalar or an enum."""
    if isinstance(type_, GraphQLEnumType):
        return Leaf("", _coercion(type_), _enum_of(type_))
    if specified_scalar_types.get(type_.name) is type_:
        return Leaf(_NEEDS_COERCION[type_.name], _coercion(type_))
    return Leaf("", _coercion(type_))


def _nullable_items(needs_coercion: str, coerce: Callable[[Any], Any]) -> Callable[[Sequence[Any]], list[Any]]:
    test = f"({needs_coercion.format(value='item')})" if needs_coercion else "True"
    source = f"lambda items: [coerce(item) if item is not None and {test} else item for item in items]"
    items: Callable[[Sequence[Any]], list[Any]] = eval(source, {"coerce": coerce})  # noqa: S307  # of `_NEEDS_COERCION`
    return items


def _coercion(type_: GraphQLNamedType) -> Callable[[Any], Any]:
    coerce: Callable[[Any], Any] = type_.coerce_output_value  # type: ignore[attr-defined]  # a leaf type has it

    def coerced(value: Any) -> Any:
        try:
            result = None if value is None else coerce(value)
        except Exception as error:  # graphql-core calls the type again, and reports its error
            raise CoercionFallback from error
        if result is None or result is Undefined:
            raise CoercionFallback
        return result

    return coerced


def _enum_of(type_: GraphQLEnumType) -> type[Enum] | None:
    """The Python enum behind the type, if each of its members is written as its name."""
    enum = getattr(type_, "wrapped_cls", None)  # Strawberry's
    if not (isinstance(enum, type) and issubclass(enum, Enum)):
        return None
    return enum if all(type_.coerce_output_value(member) == member.name for member in enum) else None
