"""How lists are completed: a list of the parts of the response that its items become."""

from collections.abc import Hashable, Sequence
from typing import Any

from exo_graphql.engine.compiled.leaf import CoercionFallback, Leaf
from exo_graphql.engine.compiled.splices import Point, Read


class ObjectList:
    """Completes a list of objects."""

    __slots__ = ("_complete", "fields")

    def __init__(self, fields: Sequence[tuple[str, Hashable]], complete: Read) -> None:
        self._complete = complete
        self.fields = fields
        """The key of each field of the objects, and what is equal for equal fields in any document."""

    def __call__(self, values: Any, info: Any) -> Any:
        return self._complete(values, info)


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


def list_of_objects(point: Point, item: Read) -> Read:
    """As `list_of`, for objects whose parts of the response follow from themselves alone."""

    def complete(values: Any, info: Any) -> list[Any]:
        if values.__class__ is not tuple and values.__class__ is not list:
            raise CoercionFallback
        parts: list[Any] = info.generation.read_objects(point, values, item, info)
        return parts

    return complete
