"""How a field is published: with a description, and with a resolver where the value has no attribute of that name."""

from collections.abc import Callable
from typing import Any

import strawberry


def field(*, description: str, resolver: Callable[..., object] | None = None) -> Any:
    """A field of a public type. Its type is the annotation; it is read off a value of `cluster/` or `operations/`.

    `Node.chip`, for example, is the attribute `chip` of a `cluster.state.Node`. Hence `Any`: the public types are never
    instantiated, so there is nothing for a type checker to check.
    """
    if resolver is None:
        return strawberry.field(description=description)
    return strawberry.field(resolver=resolver, description=description)
