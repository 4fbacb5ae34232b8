"""Simple documents, read by one regular expression for each field.

Programs that write values into their texts send texts that nobody has seen. Of the time that such a query takes,
graphql-core's parser needs a fifth: it looks at each character, and makes a token, a location and a node of each word.
Here the tree of the usual query is made in less than half of the time: of one query without variables, directives,
fragments and comments, within the limits. Any other text is left to graphql-core, and so is every error.

The tree is the one that graphql-core makes, but only fields have a location, since an error in an answer names no other
place; and each argument list is parsed by graphql-core, once for equal ones.
"""

import re
from functools import lru_cache

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    GraphQLError,
    Location,
    NameNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    Source,
    parse,
)

from exo_graphql.engine.limits import Limits

# Characters of an argument list: fewer than a number may have digits. Nodes of 200 such lists take 5 MB at most.
_MAX_ARGUMENTS = 200
_KEPT_ARGUMENTS = 200
# Names whose nodes are kept. This schema has some 400 names of fields.
_KEPT_NAMES = 1_000

# `*+` never gives back what it has matched: no text takes longer than in proportion to its length.
_SPACE = r"[ \t\n\r,]*+"
_WORD = r"[_A-Za-z][_0-9A-Za-z]*+"
_HEAD = re.compile(rf"{_SPACE}(?:query(?:[ \t\n\r,]++({_WORD}))?{_SPACE})?{{")
# A field, with its alias, its arguments and the brace that opens its selections; or the brace that closes such.
_FIELD = re.compile(
    rf"{_SPACE}(?:({_WORD})(?:{_SPACE}:{_SPACE}({_WORD}))?"
    rf'(?:{_SPACE}(\((?:[^()"#]|"(?:[^"\\\n\r]|\\.)*+")*+\)))?(?:{_SPACE}({{))?|}})'
)
_TAIL = re.compile(_SPACE)


class _Place(Location):
    """A location without tokens."""

    def __init__(self, start: int, end: int, source: Source) -> None:
        self.start = start
        self.end = end
        self.source = source


def parse_simple(text: str, limits: Limits) -> DocumentNode | None:
    """The tree of a simple document, which exceeds no limit of a document but perhaps that of pairs.

    None for any other text: whether it is a document is not known.
    """
    head = _HEAD.match(text)
    # A token has a character at least. Of a block string the expression does not find the end.
    if head is None or len(text) > min(limits.max_document_characters, limits.max_tokens) or '"""' in text:
        return None
    source = Source(text)
    selections: list[FieldNode] = []
    opened: list[tuple[int, str, str | None, tuple[ArgumentNode, ...] | None, list[FieldNode]]] = []
    """The fields around `selections`: their starts, names, aliases and arguments, and the fields before them."""
    end, fields, aliases = head.end(), 0, 0
    while (found := _FIELD.match(text, end)) is not None:
        end = found.end()
        first, second, given, opens = found.groups()
        if first is None:
            if not selections:
                return None
            selection_set = SelectionSetNode(selections=tuple(selections))
            if not opened:
                within = fields <= limits.max_fields and aliases <= limits.max_aliases
                if not within or _TAIL.fullmatch(text, end) is None:
                    return None
                return _document(head[1], selection_set, source)
            start, first, second, arguments, selections = opened.pop()
            selections.append(_field(first, second, arguments, selection_set, _Place(start, end, source)))
            continue
        fields += 1
        aliases += second is not None
        arguments = None
        if given is not None:
            arguments = _arguments(given) if len(given) <= min(_MAX_ARGUMENTS, limits.max_list_items) else None
            if arguments is None:
                return None
        if opens is None:
            selections.append(_field(first, second, arguments, None, _Place(found.start(1), end, source)))
        else:
            opened.append((found.start(1), first, second, arguments, selections))
            selections = []
            if len(opened) >= limits.max_depth:
                return None
    return None


def _document(name: str | None, selection_set: SelectionSetNode, source: Source) -> DocumentNode:
    operation = OperationDefinitionNode(
        operation=OperationType.QUERY, name=None if name is None else _name(name), selection_set=selection_set
    )
    return DocumentNode(definitions=(operation,), loc=_Place(0, len(source.body), source))


def _field(
    first: str,
    second: str | None,
    arguments: tuple[ArgumentNode, ...] | None,
    selection_set: SelectionSetNode | None,
    place: Location,
) -> FieldNode:
    if second is None:
        return FieldNode(name=_name(first), arguments=arguments, selection_set=selection_set, loc=place)
    return FieldNode(
        alias=_name(first), name=_name(second), arguments=arguments, selection_set=selection_set, loc=place
    )


@lru_cache(_KEPT_NAMES)
def _name(value: str) -> NameNode:
    return NameNode(value=value)


@lru_cache(_KEPT_ARGUMENTS)
def _arguments(text: str) -> tuple[ArgumentNode, ...] | None:
    """The arguments in these parentheses; None if they are not well formed."""
    try:
        (definition,) = parse(f"{{a{text}}}", no_location=True).definitions
    except (GraphQLError, ValueError):
        return None
    if not isinstance(definition, OperationDefinitionNode):
        return None
    (field,) = definition.selection_set.selections
    return field.arguments if isinstance(field, FieldNode) else None
