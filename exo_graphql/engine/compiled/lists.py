"""How lists are completed: a list of the parts of the response that its items become."""

from collections.abc import Hashable, Sequence
from typing import Any

from exo_graphql.engine.compiled.leaf import CoercionFallback, Leaf
from exo_graphql.engine.compiled.object_compiler import Parts, Work, compile_object
from exo_graphql.engine.compiled.selection import NotCompilable
from exo_graphql.engine.compiled.splices import Point, Read


class ObjectList:
    """Completes a list of objects, each by a function of its own; or is read by columns, and needs none."""

    __slots__ = ("_complete", "fields", "kept", "parts")

    def __init__(self, parts: Parts, fields: Sequence[tuple[str, Hashable]], kept: Point | None) -> None:
        self.parts = parts
        self.fields = fields
        """The key of each field of the objects, and what is equal for equal fields in any document."""
        self.kept = kept
        """For objects whose parts of the response follow from themselves alone: where their bytes are kept."""
        self._complete: Read | None = None

    def compile(self, work: Work) -> None:
        """Makes the function that reads an object. Raises `TakesLong`."""
        item = compile_object(self.parts, work)
        self._complete = list_of(item) if self.kept is None else _list_of_objects(self.kept, item)

    def __call__(self, values: Any, info: Any) -> Any:
        if self._complete is None:
            raise NotCompilable
        return self._complete(values, info)


def sequence(values: Any, _: Any) -> Any:
    """The list itself, as the resolver returns it."""
    if values.__class__ is not tuple and values.__class__ is not list:
        raise CoercionFallback
    return values


def list_of(item: Read) -> Read:
    def complete(values: Any, info: Any) -> list[Any]:
        if values.__class__ is not tuple and values.__class__ is not list:
            raise CoercionFallback
        return [item(value, info) for value in values]

    return complete


def list_of_nullable(leaf: Leaf) -> Read:
    items = leaf.nullable_items

    def complete(values: Any, _: Any) -> list[Any]:
        if values.__class__ is not tuple and values.__class__ is not list:
            raise CoercionFallback
        return items(values)

    return complete


def _list_of_objects(point: Point, item: Read) -> Read:
    """As `list_of`, for objects whose parts of the response follow from themselves alone."""

    def complete(values: Any, info: Any) -> list[Any]:
        if values.__class__ is not tuple and values.__class__ is not list:
            raise CoercionFallback
        parts: list[Any] = info.generation.read_objects(point, values, item, info)
        return parts

    return complete
