"""The fields of a selection set by response key, as the specification collects them (CollectFields, 6.3.2)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLAbstractType,
    GraphQLIncludeDirective,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLSkipDirective,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
)
from graphql.execution import get_directive_values

Fragments = Mapping[str, FragmentDefinitionNode]
Fields = dict[str, list[FieldNode]]

_KNOWN_DIRECTIVES = frozenset({"skip", "include"})


class NotCompilable(Exception):
    """The operation holds something that is not compiled: a mutation, a placement, introspection, a directive."""


def collect(
    schema: GraphQLSchema,
    fragments: Fragments,
    variables: Any,
    type_: GraphQLObjectType,
    sets: Iterable[SelectionSetNode],
) -> Fields:
    """The fields that `sets` select of an object of `type_`, in the response's order. `variables` are coerced."""
    collected = _Collected(schema, fragments, variables, type_)
    for selection_set in sets:
        collected.add(selection_set)
    return collected.fields


class _Collected:
    """The fields collected so far. Not a function within `collect`: it would refer to itself, and so keep the tree of
    each document until the garbage collector comes."""

    __slots__ = ("_fragments", "_schema", "_spread", "_type", "_variables", "fields")

    def __init__(self, schema: GraphQLSchema, fragments: Fragments, variables: Any, type_: GraphQLObjectType) -> None:
        self._schema = schema
        self._fragments = fragments
        self._variables = variables
        self._type = type_
        self._spread: set[str] = set()
        self.fields: Fields = {}

    def add(self, selection_set: SelectionSetNode) -> None:
        """Adds what the set selects."""
        for selection in selection_set.selections:
            if selection.directives and not is_included(selection, self._variables):
                continue
            if isinstance(selection, FieldNode):
                key = selection.alias.value if selection.alias else selection.name.value
                self.fields.setdefault(key, []).append(selection)
            elif isinstance(selection, InlineFragmentNode):
                if selection.type_condition is None or self._applies(selection.type_condition.name.value):
                    self.add(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode):
                fragment = self._fragments[selection.name.value]
                if selection.name.value not in self._spread and self._applies(fragment.type_condition.name.value):
                    self._spread.add(selection.name.value)
                    self.add(fragment.selection_set)

    def _applies(self, condition: str) -> bool:
        if condition == self._type.name:
            return True
        wanted = self._schema.get_type(condition)
        return isinstance(wanted, GraphQLAbstractType) and self._schema.is_sub_type(wanted, self._type)


def is_included(selection: SelectionNode, variables: Any) -> bool:
    """Whether @skip and @include let the selection in. Raises `NotCompilable` for any other directive."""
    if not selection.directives:
        return True
    if any(directive.name.value not in _KNOWN_DIRECTIVES for directive in selection.directives):
        raise NotCompilable
    skip = get_directive_values(GraphQLSkipDirective, selection, variables)
    include = get_directive_values(GraphQLIncludeDirective, selection, variables)
    return not (skip and skip["if"]) and not (include and not include["if"])


def conditions(fragments: Fragments, selection_set: SelectionSetNode) -> tuple[SelectionNode, ...]:
    """The selections under the set, fragments included, whose inclusion depends on variables."""
    found: list[SelectionNode] = []
    spread: set[str] = set()
    pending = [selection_set]
    while pending:
        for selection in pending.pop().selections:
            if selection.directives and any(
                isinstance(argument.value, VariableNode)
                for directive in selection.directives
                for argument in directive.arguments or ()
            ):
                found.append(selection)
            if isinstance(selection, FragmentSpreadNode):
                if selection.name.value not in spread:
                    spread.add(selection.name.value)
                    pending.append(fragments[selection.name.value].selection_set)
            else:
                pending.extend(_own_set(selection))
    return tuple(found)


def _own_set(selection: SelectionNode) -> Iterator[SelectionSetNode]:
    if isinstance(selection, FieldNode | InlineFragmentNode) and selection.selection_set is not None:
        yield selection.selection_set
