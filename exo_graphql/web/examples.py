"""Example operations for GraphiQL: the command line's `.graphql` documents, each complete with its fragments."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from graphql import (
    GraphQLError,
    ListTypeNode,
    NamedTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    VariableDefinitionNode,
    parse,
    value_from_ast_untyped,
)

from exo_graphql.documents import FOLDER, compose

# Shown first; the others follow by name.
FIRST = "status.graphql"

# What a required variable has where the page finds no value for it: of the right type, so that the document is valid.
_BLANK = {"Int": 10, "Float": 0.0, "Boolean": False}


@dataclass(frozen=True, slots=True)
class Example:
    """One operation to try: `kind` is query, mutation or subscription; `description` is the document's
    leading comment on one line, "" without one; `variables` is JSON text for GraphiQL's editor, "" for none.
    """

    name: str
    kind: str
    description: str
    query: str
    variables: str


def examples(folder: Path = FOLDER) -> list[Example]:
    """One example for each document in `folder`, in the order to show them; empty without the folder.

    A document that does not parse or holds no operation is left out, so that the page opens all the same. A test holds
    the documents against the schema.
    """
    files = sorted(folder.glob("*.graphql"), key=lambda file: (file.name != FIRST, file.name))
    return [example for file in files if (example := _example(file)) is not None]


def _example(file: Path) -> Example | None:
    text = compose(file.read_text(encoding="utf-8"))
    try:
        document = parse(text, no_location=True)
    except GraphQLError:
        return None
    operation = next((node for node in document.definitions if isinstance(node, OperationDefinitionNode)), None)
    if operation is None:
        return None
    return Example(
        name=operation.name.value if operation.name else file.stem,
        kind=operation.operation.value,
        description=_leading_comment(text),
        query=text,
        variables=_variables(operation),
    )


def _leading_comment(text: str) -> str:
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return " ".join(lines)


def _variables(operation: OperationDefinitionNode) -> str:
    """JSON text: required variables, left blank, and those with a default, set to it. Optional ones are left out.

    The page replaces the blanks with values of the cluster (`static/example_values.js`).
    """
    values = {
        definition.variable.name.value: _value(definition)
        for definition in operation.variable_definitions or ()
        if definition.default_value is not None or isinstance(definition.type, NonNullTypeNode)
    }
    return json.dumps(values, indent=2) if values else ""


def _value(definition: VariableDefinitionNode) -> object:
    if definition.default_value is not None:
        return value_from_ast_untyped(definition.default_value)
    inner = definition.type.type if isinstance(definition.type, NonNullTypeNode) else definition.type
    if isinstance(inner, ListTypeNode):
        return [""]
    return _BLANK.get(inner.name.value, "") if isinstance(inner, NamedTypeNode) else ""
