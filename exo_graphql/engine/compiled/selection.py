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
    fields: Fields = {}
    spread: set[str] = set()

    def visit(selection_set: SelectionSetNode) -> None:
        for selection in selection_set.selections:
            if not is_included(selection, variables):
                continue
            if isinstance(selection, FieldNode):
                key = selection.alias.value if selection.alias else selection.name.value
                fields.setdefault(key, []).append(selection)
            elif isinstance(selection, InlineFragmentNode):
                if selection.type_condition is None or _applies(schema, selection.type_condition.name.value, type_):
                    visit(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode):
                fragment = fragments[selection.name.value]
                if selection.name.value in spread or not _applies(schema, fragment.type_condition.name.value, type_):
                    continue
                spread.add(selection.name.value)
                visit(fragment.selection_set)

    for selection_set in sets:
        visit(selection_set)
    return fields


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
            if any(
                isinstance(argument.value, VariableNode)
                for directive in selection.directives or ()
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


def _applies(schema: GraphQLSchema, condition: str, type_: GraphQLObjectType) -> bool:
    if condition == type_.name:
        return True
    wanted = schema.get_type(condition)
    return isinstance(wanted, GraphQLAbstractType) and schema.is_sub_type(wanted, type_)
