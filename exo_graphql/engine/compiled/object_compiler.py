"""One function for one selection of an object, generated as Python source, since a call for each field costs too much.

For `{ nodes { name: friendlyName status } }` the function that reads a node is:

    def make(CoercionFallback, key_0, coerce_0, key_1, resolve_1, coerce_1, enum_1):
        def read(value, info):
            if value is None: raise CoercionFallback
            part_0 = value.friendly_name
            if (part_0.__class__ is not str) and part_0 is not None: part_0 = coerce_0(part_0)
            part_1 = resolve_1(value, info)
            part_1 = part_1._name_ if part_1.__class__ is enum_1 else coerce_1(part_1)
            return {key_0: part_0, key_1: part_1}
        return read

`make` is called with `"name"` for `key_0`, String's coercion for `coerce_0`, and so on. So the source holds only
names of this program's own making: attributes of its values, and numbered parameters. What a document says (response
keys, arguments) reaches the function as values, and no text of a caller is ever executed. Documents that differ in
aliases alone share one source, and its compilation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from math import inf
from typing import Any

from exo_graphql.engine.compiled.field_access import FieldAccess
from exo_graphql.engine.compiled.leaf import CoercionFallback, Leaf
from exo_graphql.engine.compiled.selection import NotCompilable

Complete = Callable[[Any, Any], Any]
"""Takes a value and the `info` of the run, returns its part of the response."""


@dataclass(slots=True)  # made for each field of each document: a frozen one takes twice as long to make
class FieldPlan:
    """One field of a selection: its response key, how it is read, and how its value is completed."""

    key: str
    access: FieldAccess
    value: "Leaf | Complete | Inlined"
    nullable: bool
    arguments: int | None = None
    """Index into `info.arguments` of the resolver's keyword arguments; None where they are bound, or there are none."""
    of_value_alone: bool = False
    """Whether the part of the response follows from the object alone: an attribute, or a function of it."""


@dataclass(frozen=True, slots=True)
class TypeName:
    """The field `__typename`: the same for every object of one type."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Place:
    """A field whose bytes may be known already: read and completed by one function (`splices`)."""

    key: str
    read: Complete


Part = FieldPlan | TypeName | Place


@dataclass(frozen=True, slots=True)
class Inlined:
    """An object of a few leaves: it is read within its parent's function, which saves a call."""

    parts: Sequence[Part]


# Most fields that an inlined object may have. Functions are shared by all selections of the same shape; with larger
# objects inlined, there would be too many shapes to share.
_MAX_INLINED = 4


def is_inlined(parts: Sequence[Part]) -> bool:
    """Whether an object with these parts is read within its parent's function."""
    return len(parts) <= _MAX_INLINED and all(
        isinstance(part, TypeName)
        or (isinstance(part, FieldPlan) and isinstance(part.value, Leaf) and part.arguments is None)
        for part in parts
    )


# Fields of one function. Python compiles a function in one go and lets no other thread run meanwhile: up to 2 ms for
# this many fields.
_MAX_FIELDS = 32
# Functions that are kept. A larger number is a sign of generated documents, whose functions nobody asks for again.
_MAX_FUNCTIONS = 1_000
_functions: dict[tuple[tuple[str, ...], tuple[str, ...]], Callable[..., Complete]] = {}
"""The functions of all documents, by their source."""


class TakesLong(Exception):
    """A compilation that was to end soon would not: it may go on on a thread, with what it has made so far."""


class Work:
    """How much a compilation may still do."""

    # Compiling a line takes 9 µs, everything else about a field 4.5 µs.
    FIELD, LINE = 1, 2

    def __init__(self, limit: float = inf) -> None:
        """`limit` counts fields."""
        self._left = limit

    def take(self, count: int) -> None:
        """Counts. Raises `TakesLong` where it is too much."""
        self._left -= count
        if self._left < 0:
            raise TakesLong


def compile_object(parts: Sequence[Part], work: Work, *, root: bool = False) -> Complete:
    """A function that reads `parts` off a value. It raises `CoercionFallback` for null, except at the root.

    Raises `TakesLong` where its source is new and more than `work` allows.
    """
    if len(parts) > _MAX_FIELDS:
        slices = [parts[begin : begin + _MAX_FIELDS] for begin in range(0, len(parts), _MAX_FIELDS)]
        return _joined([compile_object(each, work, root=root) for each in slices])
    source = _Source()
    if not root:
        source.lines.append("        if value is None: raise CoercionFallback")
    source.lines.append(f"        return {source.write(parts, 'value', '', '        ')}")
    key = tuple(source.parameters), tuple(source.lines)
    make = _functions.get(key)
    if make is None:
        work.take(Work.LINE * len(source.lines))
        if len(_functions) >= _MAX_FUNCTIONS:
            _functions.clear()
        make = _functions[key] = _compiled(*key)
    return make(*source.parameters.values())


def _joined(readers: Sequence[Complete]) -> Complete:
    def read(value: Any, info: Any) -> dict[str, Any]:
        whole: dict[str, Any] = {}
        for each in readers:
            whole.update(each(value, info))
        return whole

    return read


class _Source:
    """The lines of a reader, and the values of the parameters that they name."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.parameters: dict[str, Any] = {"CoercionFallback": CoercionFallback}

    def write(self, parts: Sequence[Part], value: str, path: str, indent: str) -> str:
        """Adds the lines that read `parts` off the variable `value`; returns the expression of the resulting dict."""
        entries = []
        for number, part in enumerate(parts):
            here = f"{path}_{number}"
            name = f"part{here}"
            entries.append(f"{self._parameter(f'key{here}', part.key)}: {name}")
            if isinstance(part, TypeName):
                self._parameter(name, part.name)
            elif isinstance(part, Place):
                self.lines.append(f"{indent}{name} = {self._parameter(f'place{here}', part.read)}({value}, info)")
            else:
                self.lines.append(f"{indent}{name} = {self._read(part, value, here)}")
                self._complete(part, name, here, indent)
        return "{" + ", ".join(entries) + "}"

    def _complete(self, part: FieldPlan, name: str, here: str, indent: str) -> None:
        """Adds the line, or the lines of an inlined object, that make the value `name` its part of the response."""
        plan = part.value
        test = f"{name} is not None" if part.nullable else ""
        if isinstance(plan, Inlined):
            self.lines.append(f"{indent}if {test}:" if test else f"{indent}if {name} is None: raise CoercionFallback")
            inner = indent + "    " if test else indent
            self.lines.append(f"{inner}{name} = {self.write(plan.parts, name, here, inner)}")
            return
        if isinstance(plan, Leaf):
            completed = f"{self._parameter(f'coerce{here}', plan.coerce)}({name})"
            if plan.enum is not None:
                enum = self._parameter(f"enum{here}", plan.enum)
                completed = f"{name}._name_ if {name}.__class__ is {enum} else {completed}"
            elif plan.needs_coercion:
                test = f"({plan.needs_coercion.format(value=name)})" + (f" and {test}" if test else "")
        else:
            completed = f"{self._parameter(f'complete{here}', plan)}({name}, info)"
        self.lines.append(f"{indent}{f'if {test}: ' if test else ''}{name} = {completed}")

    def _read(self, part: FieldPlan, value: str, here: str) -> str:
        """The expression that reads a field: an attribute, or a call of its resolver."""
        access = part.access
        if access.function is None:
            attribute = access.attribute or ""
            if not attribute.isidentifier() or iskeyword(attribute):
                raise NotCompilable
            return f"{value}.{attribute}"
        arguments = "" if part.arguments is None else f", **info.arguments[{part.arguments}]"
        resolver = self._parameter(f"resolve{here}", access.function)
        return f"{resolver}({access.call.value.format(value=value)}{arguments})"

    def _parameter(self, name: str, value: Any) -> str:
        self.parameters[name] = value
        return name


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
    exec(source, namespace)  # noqa: S102  # the source holds names of our own making alone, see above
    make: Callable[..., Complete] = namespace["make"]
    return make
