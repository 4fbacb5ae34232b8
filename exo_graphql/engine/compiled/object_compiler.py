"""One function for one selection of an object, written as Python source, since a call for each field costs too much.

A reader's source holds names of the schema's own making alone: attributes of the house's values and numbered
parameters. What a document says (response keys, arguments) reaches it as values, so no text of a caller is ever
executed; and documents that differ in aliases alone share one source, and its compilation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from keyword import iskeyword
from typing import Any

from exo_graphql.engine.compiled.field_access import FieldAccess
from exo_graphql.engine.compiled.leaf import CoercionFallback, Leaf
from exo_graphql.engine.compiled.selection import NotCompilable

Complete = Callable[[Any, Any], Any]
"""Takes a value of the house and the `info` of the run, gives its part of the response."""


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One field of a selection: the key it is answered by, how it is read, what becomes of the value."""

    key: str
    known: FieldAccess
    becomes: "Leaf | Complete | Inlined"
    nullable: bool
    arguments: int | None = None
    """Where `info.arguments` holds what a resolver is called with besides; None for nothing."""


@dataclass(frozen=True, slots=True)
class TypeName:
    """The field `__typename`: the same for every object that is read."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Inlined:
    """An object of a few leaves: it is read within its parent's function, which saves a call."""

    parts: Sequence[FieldPlan | TypeName]


# Sources are shared by their shape, so what is read within another's function must not make each of them unlike.
_SMALL = 4


def is_small(parts: Sequence[FieldPlan | TypeName]) -> bool:
    """Whether an object with these parts may be `Small`."""
    return len(parts) <= _SMALL and all(
        isinstance(part, TypeName) or (isinstance(part.becomes, Leaf) and part.arguments is None) for part in parts
    )


# Python compiles a function in one go, and lets no other thread run meanwhile: 5 ms for as many fields, 140 ms for 700.
_LONG = 32


def reader(parts: Sequence[FieldPlan | TypeName], *, root: bool = False) -> Complete:
    """A function that reads `parts` off a value. A value of null is `Unusual`, but for the root, which has none."""
    if len(parts) > _LONG:
        return _joined([reader(parts[begin : begin + _LONG], root=root) for begin in range(0, len(parts), _LONG)])
    source = _Source()
    if not root:
        source.lines.append("        if value is None: raise unusual")
    source.lines.append(f"        return {source.write(parts, 'value', '', '        ')}")
    return _compiled(tuple(source.parameters), tuple(source.lines))(*source.parameters.values())


def _joined(readers: Sequence[Complete]) -> Complete:
    def read(value: Any, info: Any) -> dict[str, Any]:
        whole: dict[str, Any] = {}
        for each in readers:
            whole.update(each(value, info))
        return whole

    return read


class _Source:
    """The lines of a reader, and the parameters that they speak of."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.parameters: dict[str, Any] = {"unusual": CoercionFallback}

    def write(self, parts: Sequence[FieldPlan | TypeName], value: str, place: str, indent: str) -> str:
        """Adds the lines that read the parts of the object in the variable `value`; returns what they make."""
        entries = []
        for number, part in enumerate(parts):
            here = f"{place}_{number}"
            name = f"part{here}"
            entries.append(f"{self._given(f'key{here}', part.key)}: {name}")
            if isinstance(part, TypeName):
                self._given(name, part.name)
            else:
                self.lines.append(f"{indent}{name} = {self._read(part, value, here)}")
                self._write_value(part, name, here, indent)
        return "{" + ", ".join(entries) + "}"

    def _write_value(self, part: FieldPlan, name: str, here: str, indent: str) -> None:
        becomes = part.becomes
        test = f"{name} is not None" if part.nullable else ""
        if isinstance(becomes, Inlined):
            self.lines.append(f"{indent}if {test}:" if test else f"{indent}if {name} is None: raise unusual")
            inner = indent + "    " if test else indent
            self.lines.append(f"{inner}{name} = {self.write(becomes.parts, name, here, inner)}")
            return
        if isinstance(becomes, Leaf):
            completed = f"{self._given(f'coerce{here}', becomes.coerce)}({name})"
            if becomes.enum is not None:
                enum = self._given(f"enum{here}", becomes.enum)
                completed = f"{name}._name_ if {name}.__class__ is {enum} else {completed}"
            elif becomes.unusual:
                test = f"({becomes.unusual.format(value=name)})" + (f" and {test}" if test else "")
        else:
            completed = f"{self._given(f'complete{here}', becomes)}({name}, info)"
        self.lines.append(f"{indent}{f'if {test}: ' if test else ''}{name} = {completed}")

    def _read(self, part: FieldPlan, value: str, here: str) -> str:
        known = part.known
        if known.function is None:
            attribute = known.attribute or ""
            if not attribute.isidentifier() or iskeyword(attribute):
                raise NotCompilable
            return f"{value}.{attribute}"
        arguments = "" if part.arguments is None else f", **info.arguments[{part.arguments}]"
        return f"{self._given(f'resolve{here}', known.function)}({known.call.value.format(value=value)}{arguments})"

    def _given(self, name: str, value: Any) -> str:
        self.parameters[name] = value
        return name


@lru_cache(maxsize=1000)
def _compiled(parameters: tuple[str, ...], lines: tuple[str, ...]) -> Callable[..., Complete]:
    source = "\n".join(
        [
            f"def make({', '.join(parameters)}):",
            "    def read(value, info):",
            *lines,
            "    return read",
        ]
    )
    namespace: dict[str, Any] = {}
    exec(source, namespace)  # noqa: S102  # see above: the source is of our own making
    make: Callable[..., Complete] = namespace["make"]
    return make
