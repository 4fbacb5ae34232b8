"""An index over the schema's names and descriptions: which coordinates match some words, and how to reach them.

Ranked by BM25 over words: those of a name count three times those of a description. No model is needed: every part of
the schema has a description, and a short table of synonyms covers the words that people use for what exo calls
otherwise (`delete` for unload).
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import log

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_introspection_type,
    is_specified_scalar_type,
)

Path = tuple[str, ...]
"""Coordinates from a root field to a place: `("Query.nodes", "Node.models")`."""

# Ways to reach one coordinate that are listed: enough to choose from, and few to read.
MAX_PATHS = 3
# Words of a query that count. A sentence has fewer.
MAX_WORDS = 24
# BM25's usual constants: how soon a repeated word stops counting, and how much a long description counts less.
_SATURATION, _LENGTH = 1.2, 0.6
_NAME, _OWNER = 3.0, 1.0
# A word that was not written but is meant: a synonym, or a longer word that begins with the one written.
_SYNONYM, _PREFIX = 0.9, 0.6
_MAX_PREFIXED = 8
_SHORTEST_PREFIX = 4
# An argument or a value is of use only with its field, a type only by its fields; the types of errors are seldom meant;
# and a far place is of less use than a near one.
_PART_FACTOR, _TYPE_FACTOR, _ERROR_FACTOR, _STEP_FACTOR = 0.7, 0.8, 0.5, 0.97

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_IGNORED_WORDS = """
a all an and another any are as at be by can could do does each every for from get has have how i if in is it its me
much my no not of on one or other out same should show so that the their there they this to too was we what when which
who why will with would you
"""
_IGNORED = frozenset(_IGNORED_WORDS.split())
_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "computer": ("node", "machine"),
    "cool": ("temperature",),
    "delete": ("unload", "remove"),
    "evict": ("unload",),
    "fail": ("failure", "error"),
    "free": ("available", "unload"),
    "health": ("healthy",),
    "heat": ("temperature",),
    "host": ("node",),
    "hot": ("temperature",),
    "log": ("event",),
    "machine": ("node",),
    "memory": ("ram",),
    "peer": ("node", "connection"),
    "plan": ("placement",),
    "quant": ("quantization",),
    "remove": ("unload", "delete"),
    "replace": ("swap",),
    "rotate": ("swap",),
    "schedule": ("deployment", "calendar"),
    "server": ("node",),
    "space": ("disk", "ram", "available"),
    "start": ("load",),
    "stop": ("unload", "cancel"),
    "switch": ("swap",),
    "vram": ("ram",),
    "wait": ("until", "subscription"),
    "weight": ("download",),
    "where": ("placement",),
}


@dataclass(frozen=True, slots=True)
class Match:
    """One coordinate of the schema that matches a query."""

    coordinate: str
    """As the specification writes it: `Node`, `Node.models`, `Query.placements(model:)`, `Phase.READY`."""
    definition: str
    """As in the schema's text, without descriptions: `models: [Model!]!`."""
    description: str
    score: float
    """0 to 1."""
    paths_from_root: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    coordinate: str
    definition: str
    description: str
    paths: tuple[Path, ...]
    factor: float
    words: Mapping[str, float]
    """Each word with its weight."""
    length: float


class SchemaIndex:
    """The index of one schema. Made when it is first searched: that takes some 30 ms, and is best done on a thread."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        # The same searches come again: each agent that begins asks for much the same.
        self._search = lru_cache(maxsize=200)(self._ranked)

    @property
    def is_built(self) -> bool:
        """Whether a search is quick: it takes less than a millisecond."""
        return "_postings" in self.__dict__

    def search(self, query: str, first: int) -> tuple[Match, ...]:
        """The best matches, best first; none where no word of the query occurs."""
        words = [word for word in _words(query) if word not in _IGNORED]
        return self._search(tuple(dict.fromkeys(words[:MAX_WORDS])), first)

    def _ranked(self, words: tuple[str, ...], first: int) -> tuple[Match, ...]:
        scores: dict[int, float] = defaultdict(float)
        best = 0.0
        for word in words:
            of_word: dict[int, float] = {}
            for term, weight in self._terms(word):
                postings = self._postings[term]
                rarity = weight * log(1 + len(self._entries) / len(postings))
                for number, gain in postings.items():
                    of_word[number] = max(of_word.get(number, 0.0), rarity * gain)
            best += max(of_word.values(), default=0.0)
            for number, gain in of_word.items():
                scores[number] += gain
        ranked = sorted(scores.items(), key=lambda item: (-item[1] * self._entries[item[0]].factor, item[0]))
        return tuple(
            Match(
                entry.coordinate,
                entry.definition,
                entry.description,
                round(min(1.0, score * entry.factor / best), 3),
                entry.paths,
            )
            for entry, score in ((self._entries[number], score) for number, score in ranked[:first])
        )

    def _terms(self, word: str) -> Iterator[tuple[str, float]]:
        """The indexed words that one word of a query stands for, with their weights."""
        if word in self._postings:
            yield word, 1.0
        for synonym in _SYNONYMS.get(word, ()):
            if synonym in self._postings:
                yield synonym, _SYNONYM
        if len(word) >= _SHORTEST_PREFIX:
            begin = bisect_left(self._vocabulary, word)
            for term in self._vocabulary[begin : begin + _MAX_PREFIXED]:
                if term.startswith(word) and term != word:
                    yield term, _PREFIX

    @cached_property
    def _entries(self) -> list[_Entry]:
        return list(_entries(self._schema))

    @cached_property
    def _vocabulary(self) -> list[str]:
        return sorted(self._postings)

    @cached_property
    def _postings(self) -> dict[str, dict[int, float]]:
        """By word: the numbers of the entries that hold it, with what it counts there (BM25)."""
        mean = sum(entry.length for entry in self._entries) / len(self._entries)
        postings: dict[str, dict[int, float]] = defaultdict(dict)
        for number, entry in enumerate(self._entries):
            shorter = 1 - _LENGTH + _LENGTH * entry.length / mean
            for word, weight in entry.words.items():
                postings[word][number] = weight * (_SATURATION + 1) / (weight + _SATURATION * shorter)
        return dict(postings)


def _words(text: str) -> list[str]:
    """The words of a text or a name, without their endings: `ramAvailableGb` has ram, available and gb."""
    return [_stem(word.lower()) for word in _WORD.findall(text)]


def _stem(word: str) -> str:
    """`loaded`, `loading` and `loads` are `load`; crude, and the same for queries and descriptions."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) > 3:
            return word[: -len(ending)]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us")) else word


def _entries(schema: GraphQLSchema) -> Iterator[_Entry]:
    paths = _paths(schema)
    uses = _uses(schema, paths)
    roots = (schema.query_type, schema.mutation_type, schema.subscription_type)
    for type_ in schema.type_map.values():
        if is_introspection_type(type_) or is_specified_scalar_type(type_):
            continue
        name = type_.name
        at = ((),) if type_ in roots else paths.get(name) or uses.get(name, ())
        is_error = isinstance(type_, GraphQLObjectType) and bool(type_.interfaces)
        of_type = _ERROR_FACTOR if is_error else 1.0
        yield _entry(name, f"{_keyword(type_)} {name}", type_.description, at, name, factor=of_type * _TYPE_FACTOR)
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for field_name, field in type_.fields.items():
                coordinate = f"{name}.{field_name}"
                here = tuple((*path, coordinate) for path in at)
                definition = _definition(field_name, field)
                yield _entry(coordinate, definition, field.description, here, field_name, name, factor=of_type)
                for argument_name, argument in field.args.items():
                    yield _entry(
                        f"{coordinate}({argument_name}:)",
                        f"{argument_name}: {argument.type}",
                        argument.description,
                        here,
                        argument_name,
                        field_name,
                        factor=_PART_FACTOR,
                    )
        elif isinstance(type_, GraphQLInputObjectType):
            for field_name, input_ in type_.fields.items():
                definition = f"{field_name}: {input_.type}"
                coordinate = f"{name}.{field_name}"
                yield _entry(coordinate, definition, input_.description, at, field_name, name, factor=_PART_FACTOR)
        elif isinstance(type_, GraphQLEnumType):
            for value_name, value in type_.values.items():
                yield _entry(
                    f"{name}.{value_name}", value_name, value.description, at, value_name, name, factor=_PART_FACTOR
                )


_KEYWORDS: tuple[tuple[type[GraphQLNamedType], str], ...] = (
    (GraphQLObjectType, "type"),
    (GraphQLInterfaceType, "interface"),
    (GraphQLUnionType, "union"),
    (GraphQLEnumType, "enum"),
    (GraphQLInputObjectType, "input"),
)


def _keyword(type_: GraphQLNamedType) -> str:
    return next((keyword for kind, keyword in _KEYWORDS if isinstance(type_, kind)), "scalar")


def _entry(
    coordinate: str,
    definition: str,
    description: str | None,
    paths: tuple[Path, ...],
    name: str,
    owner: str = "",
    *,
    factor: float,
) -> _Entry:
    words: Counter[str] = Counter()
    for text, weight in ((name, _NAME), (owner, _OWNER), (description or "", 1.0)):
        for word in _words(text):
            if word not in _IGNORED:
                words[word] += weight  # type: ignore[assignment]  # a Counter counts in any number
    steps = min((len(path) for path in paths), default=4)
    factor *= _STEP_FACTOR**steps
    return _Entry(coordinate, definition, description or "", paths, factor, words, float(words.total()))


def _definition(name: str, field: GraphQLField) -> str:
    arguments = ", ".join(f"{key}: {argument.type}" for key, argument in field.args.items())
    return f"{name}({arguments}): {field.type}" if arguments else f"{name}: {field.type}"


def _paths(schema: GraphQLSchema) -> dict[str, tuple[Path, ...]]:
    """The shortest paths to each object and interface, each by another last field."""
    found: dict[str, list[Path]] = defaultdict(list)
    pending: deque[tuple[GraphQLNamedType, Path]] = deque(
        (root, ()) for root in (schema.query_type, schema.mutation_type, schema.subscription_type) if root is not None
    )
    while pending:
        type_, path = pending.popleft()
        if path and (len(found[type_.name]) >= MAX_PATHS or any(path[-1] == known[-1] for known in found[type_.name])):
            continue
        if path:
            found[type_.name].append(path)
        # Longer paths begin with the shortest one to here: `Query.nodes`, and not also `Query.cluster Cluster.nodes`.
        if len(found[type_.name]) <= 1:
            pending.extend(_neighbours(schema, type_, path))
    return {name: tuple(paths) for name, paths in found.items()}


def _neighbours(schema: GraphQLSchema, type_: GraphQLNamedType, path: Path) -> Iterator[tuple[GraphQLNamedType, Path]]:
    if isinstance(type_, GraphQLInterfaceType | GraphQLUnionType):
        for possible in schema.get_possible_types(type_):
            yield possible, (*path, possible.name)
    if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
        for name, field in type_.fields.items():
            inner = get_named_type(field.type)
            if isinstance(inner, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType):
                yield inner, (*path, f"{type_.name}.{name}")


def _uses(schema: GraphQLSchema, paths: Mapping[str, tuple[Path, ...]]) -> dict[str, tuple[Path, ...]]:
    """For each enum, scalar and input: the nearest fields that have it as their type or as an argument's."""
    found: dict[str, list[Path]] = defaultdict(list)
    roots = {type_.name for type_ in (schema.query_type, schema.mutation_type, schema.subscription_type) if type_}
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not is_introspection_type(type_):
            to_type = ((),) if type_.name in roots else paths.get(type_.name, ())[:1]
            for name, field in type_.fields.items():
                for used in _used(field, field.args.values()):
                    found[used].extend((*path, f"{type_.name}.{name}") for path in to_type)
    return {
        name: tuple(sorted(set(each), key=lambda path: (len(path), path))[:MAX_PATHS]) for name, each in found.items()
    }


def _used(field: GraphQLField, arguments: Iterable[GraphQLArgument]) -> Iterator[str]:
    yield get_named_type(field.type).name
    for argument in arguments:
        given = get_named_type(argument.type)
        yield given.name
        if isinstance(given, GraphQLInputObjectType):
            yield from (get_named_type(inner.type).name for inner in given.fields.values())
