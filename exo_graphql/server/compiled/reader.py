"""One function for one selection of an object, written as Python source, since a call for each field costs too much.

A reader's source holds names of the schema's own making alone: attributes of the house's values and numbered
parameters. What a document says (response keys, arguments) reaches it as values, so no text of a caller is ever
executed; and documents that differ in aliases alone share one source, and its compilation.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from keyword import iskeyword
from typing import Any

from exo_graphql.server.compiled.known import Known
from exo_graphql.server.compiled.leaf import Leaf, Unusual
from exo_graphql.server.compiled.selection import NotPlain

Complete = Callable[[Any, Any], Any]
"""Takes a value of the house and the `info` of the run, gives its part of the response."""


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a selection: the key it is answered by, how it is read, what becomes of the value."""

    key: str
    known: Known
    becomes: Leaf | Complete
    nullable: bool
    arguments: int | None = None
    """Where `info.arguments` holds what a resolver is called with besides; None for nothing."""


@dataclass(frozen=True, slots=True)
class TypeName:
    """The field `__typename`: the same for every object that is read."""

    key: str
    name: str


def reader(parts: Sequence[Part | TypeName], *, root: bool) -> Complete:
    """A function that reads `parts` off a value. A value of null is `Unusual`, but for the root, which has none."""
    parameters: dict[str, Any] = {"unusual": Unusual}
    lines = [] if root else ["if value is None: raise unusual"]
    entries = []
    for number, part in enumerate(parts):
        parameters[f"key{number}"] = part.key
        entries.append(f"key{number}: part{number}")
        if isinstance(part, TypeName):
            parameters[f"part{number}"] = part.name
        else:
            lines += _lines(part, number, parameters)
    return _compiled(tuple(lines), tuple(entries), tuple(parameters))(*parameters.values())


def _lines(part: Part, number: int, parameters: dict[str, Any]) -> Iterator[str]:
    name = f"part{number}"
    yield f"{name} = {_read(part, number, parameters)}"
    becomes = part.becomes
    unusual = ""
    if not isinstance(becomes, Leaf):
        parameters[f"complete{number}"] = becomes
        completed = f"complete{number}({name}, info)"
    else:
        parameters[f"coerce{number}"] = becomes.coerce
        completed = f"coerce{number}({name})"
        if becomes.enum is None:
            unusual = becomes.unusual.format(value=name)
        else:
            parameters[f"enum{number}"] = becomes.enum
            completed = f"{name}._name_ if {name}.__class__ is enum{number} else {completed}"
    tests = [f"({unusual})" if unusual else "", f"{name} is not None" if part.nullable else ""]
    condition = " and ".join(test for test in tests if test)
    yield f"{f'if {condition}: ' if condition else ''}{name} = {completed}"


def _read(part: Part, number: int, parameters: dict[str, Any]) -> str:
    known = part.known
    if known.function is None:
        attribute = known.attribute or ""
        if not attribute.isidentifier() or iskeyword(attribute):
            raise NotPlain
        return f"value.{attribute}"
    parameters[f"resolve{number}"] = known.function
    arguments = "" if part.arguments is None else f", **info.arguments[{part.arguments}]"
    return f"resolve{number}({known.call.value}{arguments})"


@lru_cache(maxsize=1000)
def _compiled(lines: tuple[str, ...], entries: tuple[str, ...], parameters: tuple[str, ...]) -> Callable[..., Complete]:
    source = "\n".join(
        [
            f"def make({', '.join(parameters)}):",
            "    def read(value, info):",
            *(f"        {line}" for line in lines),
            f"        return {{{', '.join(entries)}}}",
            "    return read",
        ]
    )
    namespace: dict[str, Any] = {}
    exec(source, namespace)  # noqa: S102  # see above: the source is of our own making
    make: Callable[..., Complete] = namespace["make"]
    return make
