"""How complex a document is, counted in one walk before anything expensive is done with it.

graphql-core's validation compares every two fields that have the same response key in the same place, and every two
fragments that are spread there, and follows each spread. So a short text can take seconds to validate. Here the same is
counted in linear time, and the document is refused by the limit that it exceeds. For example

    { nodes { id id } nodes { ...Name ...Name } }  fragment Name on Node { friendlyName }

- fields, with fragments expanded: `nodes` 2, `id` 2, `friendlyName` 2 (once for each spread): 6;
- depth: `{`, `nodes {`, `...Name {`: 3;
- pairs: the two `nodes` are 1; they make one place in the response, where the two `id` are 1 more. `Name` is visited
  once there, so its field meets no other: 2 pairs. n equal fields in one place are n * (n - 1) / 2 pairs: 64 times `id`
  are 2,016, beyond the limit of 2,000.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    ExecutableDefinitionNode,
    FieldNode,
    FloatValueNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    IntValueNode,
    ListValueNode,
    Node,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)
from graphql.language.ast import QUERY_DOCUMENT_KEYS

from exo_graphql.engine.limits import LimitExceeded, Limits

_SPLIT = "Send several requests."
# Python refuses to parse integers of more than 4,300 digits; a Float has at most 309 digits before the point.
_MAX_DIGITS = 400
# Bytes that a number, a boolean, a null or a container counts for.
_SCALAR_BYTES = 4


def check_document(document: DocumentNode, limits: Limits) -> None:
    """Raises `LimitExceeded` for the first limit that the document exceeds. The document need not be valid.

    Raises `GraphQLError` for a number with too many digits.
    """
    if len(document.definitions) > limits.max_definitions:
        count = len(document.definitions)
        raise LimitExceeded(
            "max_definitions", limits.max_definitions, f"{count} operations and fragments", _SPLIT, actual=count
        )
    _check_text(document, limits)
    survey = _Survey(document, limits)
    for definition in survey.roots():
        survey.check(definition.selection_set)


def check_expanded(document: DocumentNode, limits: Limits) -> None:
    """Raises `LimitExceeded` if the document has too many fields, fragments expanded, or is too deep."""
    survey = _Survey(document, limits)
    for definition in survey.roots():
        survey.add(definition.selection_set)


def check_variables(variables: Mapping[str, Any] | None, limits: Limits) -> None:
    """Raises `LimitExceeded` for variables that are too large, too deep, or hold too long a list."""
    if not variables:
        return
    pending: list[tuple[Any, int]] = [(variables, 1)]
    size = 0
    while pending:
        value, depth = pending.pop()
        if isinstance(value, dict | list):
            if depth > limits.max_depth:
                raise LimitExceeded(
                    "max_depth", limits.max_depth, "variables nested more deeply", "No argument is that deep."
                )
            if isinstance(value, list):
                _check_list(len(value), limits)
                pending.extend((item, depth + 1) for item in value)
            else:
                size += sum(map(len, value))
                pending.extend((item, depth + 1) for item in value.values())
        size += len(value) if isinstance(value, str) else _SCALAR_BYTES
    if size > limits.max_variables_bytes:
        raise LimitExceeded(
            "max_variables_bytes", limits.max_variables_bytes, f"some {size} bytes of variables", _SPLIT, actual=size
        )


def _check_list(length: int, limits: Limits) -> None:
    if length > limits.max_list_items:
        raise LimitExceeded("max_list_items", limits.max_list_items, f"a list of {length} items", _SPLIT, actual=length)


def _check_text(document: DocumentNode, limits: Limits) -> None:
    """Checks what is counted once for each place in the text. The parser has bounded the depth of this walk."""
    aliases = directives = 0
    pending: list[Node] = [document]
    while pending:
        node = pending.pop()
        if isinstance(node, FieldNode) and node.alias is not None:
            aliases += 1
        elif isinstance(node, ListValueNode):
            _check_list(len(node.values), limits)
        elif isinstance(node, IntValueNode | FloatValueNode) and len(node.value) > _MAX_DIGITS:
            raise GraphQLError(f"A number may have {_MAX_DIGITS} digits.", node)
        directives += len(getattr(node, "directives", None) or ())
        pending.extend(_children(node))
    if aliases > limits.max_aliases:
        raise LimitExceeded("max_aliases", limits.max_aliases, f"{aliases} aliases", _SPLIT, actual=aliases)
    if directives > limits.max_directives:
        raise LimitExceeded(
            "max_directives", limits.max_directives, f"{directives} directives", _SPLIT, actual=directives
        )


# Names have nothing below them, and are half of all nodes.
_KEYS = {kind: tuple(key for key in keys if key not in ("name", "alias")) for kind, keys in QUERY_DOCUMENT_KEYS.items()}


def _children(node: Node) -> Iterator[Node]:
    for key in _KEYS.get(node.kind, ()):
        value = getattr(node, key, None)
        if isinstance(value, Node):
            yield value
        elif value:
            yield from value


# A selection set, and the fragments around it, so that fragments which spread each other end.
_Set = tuple[SelectionSetNode, frozenset[str]]


@dataclass(frozen=True, slots=True)
class _Size:
    """The size of a fragment, with everything that it spreads."""

    fields: int
    depth: int


class _Survey:
    """Fields, depth and pairs of all operations of a document, fragments expanded."""

    def __init__(self, document: DocumentNode, limits: Limits) -> None:
        self._limits = limits
        self._definitions = [d for d in document.definitions if isinstance(d, ExecutableDefinitionNode)]
        self._fragments = {d.name.value: d for d in self._definitions if isinstance(d, FragmentDefinitionNode)}
        self._sizes: dict[str, _Size] = {}
        """By fragment."""
        self._active: set[str] = set()
        """Fragments around the one being counted."""
        self._fields = 0
        self._compared = 0
        """Fields that `_compare` has visited."""
        self._pairs = 0

    def roots(self) -> Iterator[ExecutableDefinitionNode]:
        """The operations, then the fragments that none of them uses, since these are validated too."""
        yield from (d for d in self._definitions if isinstance(d, OperationDefinitionNode))
        for name, fragment in self._fragments.items():
            if name not in self._sizes:
                yield fragment

    def check(self, selection_set: SelectionSetNode) -> None:
        """Adds one operation, or one fragment that none uses, and its pairs."""
        self.add(selection_set)
        self._compare([(selection_set, frozenset())])

    def add(self, selection_set: SelectionSetNode) -> None:
        """Adds the fields of one operation, or of one fragment that none uses."""
        self._fields += self._size(selection_set, 1).fields
        self._check_fields(self._fields)

    def _check_fields(self, count: int) -> None:
        limit = self._limits.max_fields
        if count > limit:
            raise LimitExceeded("max_fields", limit, f"{count} fields, fragments expanded", _SPLIT, actual=count)

    def _size(self, selection_set: SelectionSetNode, level: int) -> _Size:
        self._check_depth(level)
        fields, depth = 0, 1
        for selection in selection_set.selections:
            if isinstance(selection, FragmentSpreadNode):
                inner = self._fragment(selection.name.value, level + 1)
            else:
                fields += isinstance(selection, FieldNode)
                own = _own_set(selection)
                inner = None if own is None else self._size(own, level + 1)
            if inner is not None:
                fields += inner.fields
                depth = max(depth, 1 + inner.depth)
        return _Size(fields, depth)

    def _fragment(self, name: str, level: int) -> _Size | None:
        fragment = self._fragments.get(name)
        # Unknown fragments, and those that spread themselves, are errors that validation reports.
        if fragment is None or name in self._active:
            return None
        size = self._sizes.get(name)
        if size is None:
            self._active.add(name)
            size = self._sizes[name] = self._size(fragment.selection_set, level)
            self._active.discard(name)
        self._check_depth(level + size.depth - 1)
        return size

    def _check_depth(self, depth: int) -> None:
        if depth > self._limits.max_depth:
            raise LimitExceeded(
                "max_depth",
                self._limits.max_depth,
                "more nested selection sets, fragments included",
                "Select less in one request; every object can be selected at the root, too.",
            )

    def _compare(self, sets: Iterable[_Set]) -> None:
        """Counts the pairs at one place of the response and at the places below, in a step for each field."""
        here: defaultdict[str, list[tuple[FieldNode, frozenset[str]]]] = defaultdict(list)
        spread: set[str] = set()
        for field, within in self._selections(sets, spread):
            here[field.alias.value if field.alias else field.name.value].append((field, within))
        self._count(len(spread))
        for fields in here.values():
            self._count(len(fields))
            below = [(field.selection_set, within) for field, within in fields if field.selection_set is not None]
            if below:
                self._compare(below)

    def _selections(self, sets: Iterable[_Set], spread: set[str]) -> Iterator[tuple[FieldNode, frozenset[str]]]:
        pending = list(sets)
        while pending:
            selection_set, within = pending.pop()
            for selection in selection_set.selections:
                if isinstance(selection, FieldNode):
                    # As many as were counted before; without end where fragments spread each other.
                    self._compared += 1
                    self._check_fields(self._compared)
                    yield selection, within
                elif isinstance(selection, FragmentSpreadNode):
                    name = selection.name.value
                    fragment = self._fragments.get(name)
                    if fragment is not None and name not in spread and name not in within:
                        spread.add(name)
                        pending.append((fragment.selection_set, within | {name}))
                else:
                    own = _own_set(selection)
                    if own is not None:
                        pending.append((own, within))

    def _count(self, meeting: int) -> None:
        self._pairs += meeting * (meeting - 1) // 2
        if self._pairs > self._limits.max_pairs:
            raise LimitExceeded(
                "max_pairs",
                self._limits.max_pairs,
                "more pairs of equal fields or of fragments in one place of the response",
                "Select each field once.",
            )


def _own_set(selection: SelectionNode) -> SelectionSetNode | None:
    own = getattr(selection, "selection_set", None)
    return own if isinstance(own, SelectionSetNode) and own.selections else None
