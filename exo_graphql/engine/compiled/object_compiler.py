"""One function for one selection of an object, generated as Python source, since a call for each field costs too much.

For `{ models { nodes { name: friendlyName status } } }` the function that reads a node is:

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

A list that is the same for all documents of one snapshot is read by columns instead, with one such function for each
field, which has a loop over the objects (`columns`): documents that select other fields of it share these functions.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword
from math import inf
from typing import Any, ClassVar

from exo_graphql.engine.compiled.field_access import FieldAccess
from exo_graphql.engine.compiled.leaf import CoercionFallback, Leaf
from exo_graphql.engine.compiled.selection import NotCompilable

Complete = Callable[[Any, Any], Any]
"""Takes a value and the `info` of the run, returns its part of the response."""


# Within the source of a part, until it is written into a function: the variable of the object, and the part's number.
_VALUE, _HERE = "@v", "@n"


@dataclass(slots=True)  # made for each field of each document: a frozen one takes twice as long to make
class FieldPlan:
    """One field of a selection: how it is read, and how its value is completed."""

    access: FieldAccess
    value: "Leaf | Complete | Inlined"
    nullable: bool
    arguments: int | None = None
    """Index into `info.arguments` of the resolver's keyword arguments; None where they are bound, or there are none."""
    of_value_alone: bool = False
    """Whether the part of the response follows from the object alone: an attribute, or a function of it."""
    source: str = field(init=False)
    """The lines that read and complete it, with `_VALUE` and `_HERE`."""
    names: tuple[str, ...] = field(init=False)
    """The parameters that these lines name."""
    values: tuple[Any, ...] = field(init=False)

    def __post_init__(self) -> None:
        lines, parameters = _written(self)
        self.source = "\n".join(lines)
        self.names = tuple(parameters)
        self.values = tuple(parameters.values())


@dataclass(frozen=True, slots=True)
class TypeName:
    """The field `__typename`: the same for every object of one type."""

    name: str
    source: ClassVar = ""
    names: ClassVar = (f"part{_HERE}",)

    @property
    def values(self) -> tuple[str]:
        """Of the parameter."""
        return (self.name,)


@dataclass(frozen=True, slots=True)
class Place:
    """A field whose bytes may be known already: read and completed by one function (`splices`)."""

    read: Complete
    source: ClassVar = f"part{_HERE} = place{_HERE}({_VALUE}, info)"
    names: ClassVar = (f"place{_HERE}",)

    @property
    def values(self) -> tuple[Complete]:
        """Of the parameter."""
        return (self.read,)


Part = FieldPlan | TypeName | Place
Parts = Sequence[tuple[str, Part]]
"""The parts of an object in the response's order, each with its key."""


@dataclass(frozen=True, slots=True)
class Inlined:
    """An object of a few leaves: it is read within its parent's function, which saves a call."""

    parts: Parts


# Most fields that an inlined object may have. Functions are shared by all selections of the same shape; with larger
# objects inlined, there would be too many shapes to share.
_MAX_INLINED = 4


def is_inlined(parts: Parts) -> bool:
    """Whether an object with these parts is read within its parent's function."""
    return len(parts) <= _MAX_INLINED and all(
        isinstance(part, TypeName)
        or (isinstance(part, FieldPlan) and isinstance(part.value, Leaf) and part.arguments is None)
        for _, part in parts
    )


# Fields of one function. Python compiles a function in one go and lets no other thread run meanwhile: up to 2 ms for
# this many fields.
_MAX_FIELDS = 32
# Functions that are kept. A larger number is a sign of generated documents, whose functions nobody asks for again.
_MAX_FUNCTIONS = 1_000
_functions: dict[Hashable, Callable[..., Complete]] = {}
"""The functions of all documents, by the sources of their parts, which all else in their source follows from."""


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


def compile_object(parts: Parts, work: Work, *, root: bool = False) -> Complete:
    """A function that reads `parts` off a value. It raises `CoercionFallback` for null, except at the root.

    Raises `TakesLong` where its source is new and more than `work` allows.
    """
    if len(parts) > _MAX_FIELDS:
        slices = [parts[begin : begin + _MAX_FIELDS] for begin in range(0, len(parts), _MAX_FIELDS)]
        return _joined([compile_object(each, work, root=root) for each in slices])
    key = root, tuple([part.source for _, part in parts])
    make = _functions.get(key) or _made(key, _source(parts, root=root), work)
    values: list[Any] = []
    for name, part in parts:
        values.append(name)
        values += part.values
    return make(CoercionFallback, *values)


def compile_column(part: Part, work: Work) -> Complete:
    """A function that reads a part off each object of a list: a list of as many. Raises as `compile_object`."""
    make = _functions.get(part.source) or _made(part.source, _column_source(part), work)
    return make(CoercionFallback, *part.values)


def _made(key: Hashable, source: str, work: Work) -> Callable[..., Complete]:
    work.take(Work.LINE * source.count("\n"))
    if len(_functions) >= _MAX_FUNCTIONS:
        _functions.clear()
    make = _functions[key] = _compiled(source)
    return make


def _joined(readers: Sequence[Complete]) -> Complete:
    def read(value: Any, info: Any) -> dict[str, Any]:
        whole: dict[str, Any] = {}
        for each in readers:
            whole.update(each(value, info))
        return whole

    return read


def _lines(parts: Parts, value: str, here: str) -> Iterator[str]:
    """The lines that read `parts` off the variable `value`."""
    for number, (_, part) in enumerate(parts):
        if part.source:
            yield from part.source.replace(_HERE, f"{here}_{number}").replace(_VALUE, value).split("\n")


def _dict(parts: Parts, here: str) -> str:
    """The expression of the dict that `parts` become."""
    return "{" + ", ".join(f"key{here}_{number}: part{here}_{number}" for number in range(len(parts))) + "}"


def _parameters(parts: Parts, here: str) -> Iterator[str]:
    """The parameters that the lines and the expression name: of each part its key, then its own."""
    for number, (_, part) in enumerate(parts):
        yield f"key{here}_{number}"
        yield from (name.replace(_HERE, f"{here}_{number}") for name in part.names)


def _written(plan: FieldPlan) -> tuple[list[str], dict[str, Any]]:
    """The lines of a field, and the values of the parameters that they name."""
    name, parameters = f"part{_HERE}", dict[str, Any]()
    access = plan.access
    if access.function is None:
        attribute = access.attribute or ""
        if not attribute.isidentifier() or iskeyword(attribute):
            raise NotCompilable
        lines = [f"{name} = {_VALUE}.{attribute}"]
    else:
        arguments = "" if plan.arguments is None else f", **info.arguments[{plan.arguments}]"
        parameters[f"resolve{_HERE}"] = access.function
        lines = [f"{name} = resolve{_HERE}({access.call.value.format(value=_VALUE)}{arguments})"]
    test = f"{name} is not None" if plan.nullable else ""
    value = plan.value
    if isinstance(value, Inlined):
        lines.append(f"if {test}:" if test else f"if {name} is None: raise CoercionFallback")
        indent = "    " if test else ""
        lines += [indent + line for line in _lines(value.parts, name, _HERE)]
        lines.append(f"{indent}{name} = {_dict(value.parts, _HERE)}")
        own = [each for key, part in value.parts for each in (key, *part.values)]
        parameters.update(zip(_parameters(value.parts, _HERE), own, strict=True))
        return lines, parameters
    if isinstance(value, Leaf):
        parameters[f"coerce{_HERE}"] = value.coerce
        completed = f"coerce{_HERE}({name})"
        if value.enum is not None:
            parameters[f"enum{_HERE}"] = value.enum
            completed = f"{name}._name_ if {name}.__class__ is enum{_HERE} else {completed}"
        elif value.needs_coercion:
            test = f"({value.needs_coercion.format(value=name)})" + (f" and {test}" if test else "")
    else:
        parameters[f"complete{_HERE}"] = value
        completed = f"complete{_HERE}({name}, info)"
    lines.append(f"{f'if {test}: ' if test else ''}{name} = {completed}")
    return lines, parameters


def _source(parts: Parts, *, root: bool) -> str:
    """Of the function that makes the reader of these parts."""
    lines = [] if root else ["if value is None: raise CoercionFallback"]
    lines += [*_lines(parts, "value", ""), f"return {_dict(parts, '')}"]
    return "\n".join(
        [
            f"def make({', '.join(('CoercionFallback', *_parameters(parts, '')))}):",
            "    def read(value, info):",
            *(f"        {line}" for line in lines),
            "    return read",
        ]
    )


def _column_source(part: Part) -> str:
    """Of the function that makes the reader of a column."""
    lines = [f"            {line}" for line in _lines([("", part)], "value", "") if line]
    return "\n".join(
        [
            f"def make({', '.join(('CoercionFallback', *(name.replace(_HERE, '_0') for name in part.names)))}):",
            "    def read(values, info):",
            "        column = []",
            "        for value in values:",
            "            if value is None: raise CoercionFallback",
            *lines,
            "            column.append(part_0)",
            "        return column",
            "    return read",
        ]
    )


def _compiled(source: str) -> Callable[..., Complete]:
    namespace: dict[str, Any] = {}
    exec(source, namespace)  # noqa: S102  # the source holds names of our own making alone, see above
    make: Callable[..., Complete] = namespace["make"]
    return make
