"""Mutations on their way to the server that leads: which may be sent twice, and what is said of those that are lost."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    NullValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    value_from_ast_untyped,
)

from exo_graphql.replicas.mutation import LeaderError, NoAnswer, NoDatabase, TooMany
from exo_graphql.schema.errors import NamedError

_KEY = "idempotencyKey"
_OPERATIONS = "{ operations { id kind state startedAt } }"
_DEPLOYMENTS = "{ deployments { name generation state } }"
_DOWNLOADS = "{ downloads(status: [PENDING, DOWNLOADING, PAUSED, COMPLETED]) { node { id } model { id } status } }"
_CUSTOM = "{ models { id isCustom } }"
SHOWN_BY: Mapping[str, str] = {
    "loadModel": _OPERATIONS,
    "unloadModel": _OPERATIONS,
    "swapModels": _OPERATIONS,
    "applyPlan": _OPERATIONS,
    "cancelOperation": _OPERATIONS,
    "resumeOperation": _OPERATIONS,
    "addModel": _CUSTOM,
    "removeModel": _CUSTOM,
    "startDownload": _DOWNLOADS,
    "cancelDownload": _DOWNLOADS,
    "deleteDownload": _DOWNLOADS,
    "cancelTask": "{ tasks { id status } }",
    "applyDeployment": _DEPLOYMENTS,
    "deleteDeployment": _DEPLOYMENTS,
    "pauseDeployment": _DEPLOYMENTS,
    "resumeDeployment": _DEPLOYMENTS,
    "acknowledge": "{ events(last: 10) { id kind acknowledged } }",
    "testWebhooks": "{ webhooks { name delivered lastError } }",
}
"""By mutation: the query that shows whether it was carried out."""


def is_repeatable(
    document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any] | None
) -> bool:
    """Whether each of its mutations happens once however often it arrives: by its idempotency key, or a plan's hash."""
    defaults = {
        definition.variable.name.value
        for definition in operation.variable_definitions or ()
        if definition.default_value is not None and not isinstance(definition.default_value, NullValueNode)
    }
    given = {name for name, value in (variables or {}).items() if value is not None}
    absent = {name for name, value in (variables or {}).items() if value is None}
    known = given | (defaults - absent)
    return all(field.name.value == "applyPlan" or _has_key(field, known) for field in fields(document, operation))


def fields(document: DocumentNode, operation: OperationDefinitionNode) -> Iterator[FieldNode]:
    """The fields at the root, those in fragments too, and those that a directive leaves out. The document is valid."""
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    pending: list[SelectionSetNode] = [operation.selection_set]
    seen: set[str] = set()
    while pending:
        for selection in pending.pop().selections:
            if isinstance(selection, FieldNode):
                yield selection
            elif isinstance(selection, InlineFragmentNode):
                pending.append(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in seen:
                seen.add(selection.name.value)
                pending.append(fragments[selection.name.value].selection_set)


def catalogue_changes(
    document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any] | None, payload: bytes
) -> Iterator[tuple[str, bool]]:
    """The names of models that were added or removed by these mutations, by their answer; whether each was added."""
    data = orjson.loads(payload).get("data") or {}
    for each in fields(document, operation):
        if each.name.value not in ("addModel", "removeModel"):
            continue
        result = data.get(each.name.value if each.alias is None else each.alias.value)
        if result is None or result.get("error") is not None:
            continue
        (argument,) = each.arguments or ()
        name = value_from_ast_untyped(argument.value, dict(variables or {}))
        if isinstance(name, str):
            yield name.strip(), each.name.value == "addModel"


def _has_key(field: FieldNode, known: Iterable[str]) -> bool:
    for argument in field.arguments or ():
        if argument.name.value == _KEY:
            value = argument.value
            if isinstance(value, VariableNode):
                return value.name.value in known
            return not isinstance(value, NullValueNode)
    return False


def leader_error(
    error: LeaderError, document: DocumentNode, operation: OperationDefinitionNode, *, repeatable: bool
) -> NamedError:
    """What the caller is answered instead of the leader's answer."""
    if isinstance(error, TooMany):
        return NamedError(
            "OVERLOADED", str(error), "Try again in a few seconds.", limit="max_waiting", value=error.limit
        )
    if isinstance(error, NoDatabase):
        return NamedError(
            "JOURNAL_UNAVAILABLE",
            f"{error} Nothing was changed.",
            "Check the database of --database-url; mutations are accepted again once it can be written.",
        )
    if not isinstance(error, NoAnswer):
        return NamedError(
            "CLUSTER_UNAVAILABLE",
            f"{error} Nothing was changed.",
            "Try again in a few seconds; { cluster { replicas { name leader } } } shows the servers.",
        )
    queries = dict.fromkeys(
        SHOWN_BY[each.name.value] for each in fields(document, operation) if each.name.value in SHOWN_BY
    )
    return NamedError(
        "OUTCOME_UNKNOWN",
        f"{error} The mutation may have been carried out.",
        "Send it again: it has an idempotency key or a plan's hash, and happens once."
        if repeatable
        else f"Before you send it again, look whether it was: {' '.join(queries)}",
    )
