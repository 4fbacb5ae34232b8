"""Queries, read by one regular expression for each field.

Programs that write values into their texts send texts that nobody has seen. Of the time that such a query takes,
graphql-core's parser needs half: it looks at each character, and makes a token, a location and a node of each word.
Here the tree of the usual document is made in a fifth of the time: of queries and fragments, within the limits. Any
other text is left to graphql-core, and so is every error.

The tree is the one that graphql-core makes, but nothing in it has a location: it serves compiled plans, which answer
without errors. Where graphql-core executes a document, and may name a place in an error, it parses it as well
(`documents.located`). What is in parentheses is parsed by graphql-core, once for equal texts.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from graphql import (
    ArgumentNode,
    DefinitionNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    Location,
    NamedTypeNode,
    NameNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    Source,
    VariableDefinitionNode,
    parse,
)

from exo_graphql.engine.complexity import check_expanded
from exo_graphql.engine.limits import LimitExceeded, Limits

# Characters of declared variables, or of an argument list with the directives behind it: fewer than a number may have
# digits. Nodes of 400 such texts take 15 MB at most.
_MAX_CHARACTERS = 300
_KEPT_TEXTS = 200
# Names, and plain fields of such names, whose nodes all documents share. This schema has some 400 names of fields.
_KEPT_NAMES = 1_000

# `*+` never gives back what it has matched: no text takes longer than in proportion to its length.
_SPACE = r"[ \t\n\r,]*+(?:#[^\n\r\ud800-\udfff]*+[ \t\n\r,]*+)*+"
_WORD = r"[_A-Za-z][_0-9A-Za-z]*+"
_END = r"(?![_0-9A-Za-z])"
_PARENTHESES = r'\((?:[^()"#]|"(?:[^"\\\n\r]|\\.)*+")*+\)'
_DIRECTIVES = rf"(?:{_SPACE}@{_SPACE}{_WORD}(?:{_SPACE}{_PARENTHESES})?+)*+"
# The head of a query, with its name and its variables, or of a fragment, with its name and its type.
_HEAD = re.compile(
    rf"{_SPACE}(?:query{_END}(?:{_SPACE}({_WORD}))?+(?:{_SPACE}({_PARENTHESES}))?+"
    rf"|fragment{_END}{_SPACE}({_WORD}){_SPACE}on{_END}{_SPACE}({_WORD}))?+{_SPACE}{{"
)
# A field, with its alias, its arguments and directives, and the brace that opens its selections; or the brace that
# closes such.
_FIELD = re.compile(
    rf"{_SPACE}(?:({_WORD})(?:{_SPACE}:{_SPACE}({_WORD}))?+"
    rf"((?:{_SPACE}{_PARENTHESES})?+{_DIRECTIVES})(?:{_SPACE}({{))?|}})"
)
# A fragment, by the type of one that is written here, or by its name.
_FRAGMENT = re.compile(
    rf"{_SPACE}\.\.\.(?:{_SPACE}on{_END}{_SPACE}({_WORD})|{_SPACE}({_WORD}))?+({_DIRECTIVES})(?:{_SPACE}({{))?"
)
_TAIL = re.compile(_SPACE)


class TextOnly(Location):
    """The location of a document whose nodes have none."""

    def __init__(self, source: Source) -> None:
        self.start = 0
        self.end = len(source.body)
        self.source = source


class _Given(NamedTuple):
    """What `(id: $id) @skip(if: true)` gives a selection."""

    arguments: tuple[ArgumentNode, ...] | None = None
    directives: tuple[DirectiveNode, ...] | None = None


_NOTHING = _Given()
_Opened = tuple[str | None, str | None, _Given, list[SelectionNode]]
"""Alias and name of a field, or the type of a fragment and no name; what it is given; the selections before it."""


def parse_simple(text: str, limits: Limits) -> DocumentNode | None:
    """The tree of a usual document, which exceeds no limit of a document but perhaps that of pairs.

    None for any other text: whether it is a document is not known.
    """
    # A token has a character at least. Of a block string the expressions do not find the end.
    if len(text) > min(limits.max_document_characters, limits.max_tokens) or '"""' in text:
        return None
    reader = _Reader(text, limits)
    definitions: list[DefinitionNode] = []
    while (head := _HEAD.match(text, reader.end)) is not None:
        definition = reader.definition(head)
        if definition is None:
            return None
        definitions.append(definition)
    if not definitions or _TAIL.fullmatch(text, reader.end) is None or not reader.is_within(len(definitions)):
        return None
    document = DocumentNode(definitions=tuple(definitions), loc=TextOnly(Source(text)))
    try:
        if len(definitions) > 1:
            check_expanded(document, limits)
    except LimitExceeded:
        return None
    return document


class _Reader:
    """Reads one definition after the other."""

    def __init__(self, text: str, limits: Limits) -> None:
        self._text = text
        self._limits = limits
        self._longest = min(_MAX_CHARACTERS, limits.max_list_items)
        self._fields = self._aliases = self._directives = 0
        self.end = 0
        """Where the text is read on."""

    def is_within(self, definitions: int) -> bool:
        """Whether what was read exceeds no limit that counts it as it is written."""
        limits = self._limits
        return (
            definitions <= limits.max_definitions
            and self._fields <= limits.max_fields
            and self._aliases <= limits.max_aliases
            and self._directives <= limits.max_directives
        )

    def definition(self, head: "re.Match[str]") -> DefinitionNode | None:
        """The definition that has this head."""
        name, variables, fragment, on_type = head.groups()
        declared = None if variables is None or len(variables) > self._longest else _declared(variables)
        if (variables is not None and declared is None) or fragment == "on":
            return None
        self.end = head.end()
        selection_set = self._selection_set()
        if selection_set is None:
            return None
        if fragment is not None:
            return FragmentDefinitionNode(
                name=_name(fragment),
                variable_definitions=(),
                type_condition=_named_type(on_type),
                selection_set=selection_set,
            )
        return OperationDefinitionNode(
            operation=OperationType.QUERY,
            name=None if name is None else _name(name),
            variable_definitions=declared,
            selection_set=selection_set,
        )

    def _selection_set(self) -> SelectionSetNode | None:
        text, end = self._text, self.end
        selections: list[SelectionNode] = []
        opened: list[_Opened] = []
        while True:
            found = _FIELD.match(text, end)
            if found is not None:
                first, name, written, opens = found.groups()
                end = found.end()
                if first is None:
                    if not selections:
                        return None
                    selection_set = SelectionSetNode(selections=tuple(selections))
                    if not opened:
                        self.end = end
                        return selection_set
                    first, name, given, selections = opened.pop()
                    if name is None:
                        selections.append(_inline(first, given, selection_set))
                    else:
                        selections.append(_field(first, name, given, selection_set))
                    continue
                self._fields += 1
                if name is None:
                    first, name = None, first
                else:
                    self._aliases += 1
            else:
                found = _FRAGMENT.match(text, end)
                if found is None:
                    return None
                first, spread, written, opens = found.groups()
                end, name = found.end(), None
                # It has its selections here, or a name.
                if (spread is None) is (opens is None) or spread == "on":
                    return None
            given = _NOTHING
            if written:
                parsed = _given(written) if len(written) <= self._longest else None
                if parsed is None:
                    return None
                given = parsed
                self._directives += len(given.directives or ())
            if opens is not None:
                opened.append((first, name, given, selections))
                selections = []
                if len(opened) >= self._limits.max_depth:
                    return None
            elif name is not None:
                is_plain = first is None and given is _NOTHING
                selections.append(_plain_field(name) if is_plain else _field(first, name, given, None))
            else:
                selections.append(FragmentSpreadNode(name=_name(spread), directives=given.directives))


def _field(alias: str | None, name: str, given: _Given, selection_set: SelectionSetNode | None) -> FieldNode:
    return FieldNode(
        alias=None if alias is None else _name(alias),
        name=_name(name),
        arguments=given.arguments,
        directives=given.directives,
        selection_set=selection_set,
    )


def _inline(on_type: str | None, given: _Given, selection_set: SelectionSetNode) -> InlineFragmentNode:
    return InlineFragmentNode(
        type_condition=None if on_type is None else _named_type(on_type),
        directives=given.directives,
        selection_set=selection_set,
    )


@lru_cache(_KEPT_NAMES)
def _plain_field(name: str) -> FieldNode:
    return FieldNode(name=_name(name))


@lru_cache(_KEPT_NAMES)
def _name(value: str) -> NameNode:
    return NameNode(value=value)


@lru_cache(_KEPT_NAMES)
def _named_type(name: str) -> NamedTypeNode:
    return NamedTypeNode(name=_name(name))


@lru_cache(_KEPT_TEXTS)
def _given(written: str) -> _Given | None:
    """The arguments and directives in this text; None if they are not well formed."""
    operation = _operation(f"{{a{written}}}")
    field = None if operation is None else operation.selection_set.selections[0]
    return _Given(field.arguments, field.directives) if isinstance(field, FieldNode) else None


@lru_cache(_KEPT_TEXTS)
def _declared(written: str) -> tuple[VariableDefinitionNode, ...] | None:
    """The variables declared in this text; None if they are not well formed, or have directives."""
    operation = _operation(f"query{written}{{a}}")
    declared = None if operation is None else operation.variable_definitions
    return None if declared is None or any(each.directives for each in declared) else declared


def _operation(text: str) -> OperationDefinitionNode | None:
    try:
        (definition,) = parse(text, no_location=True).definitions
    except (GraphQLError, ValueError):
        return None
    return definition if isinstance(definition, OperationDefinitionNode) else None
