"""How a field is published: by a description, and by a resolver where the house's value lacks the attribute."""

from collections.abc import Callable
from typing import Any

import strawberry


def field(*, description: str, resolver: Callable[..., object] | None = None) -> Any:
    """A field. Its type is the class's annotation; what resolves it is a value of the house, not of that class.

    Hence `Any`: the public types are never instantiated, so there is nothing for a type checker to hold on to.
    """
    if resolver is None:
        return strawberry.field(description=description)
    return strawberry.field(resolver=resolver, description=description)
