"""Carries out one tool: arguments to variables, the document, and its data as the tool's result."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import orjson

from exo_graphql.documents import Document, document
from exo_graphql.mcp.graph import Graph, GraphError, Json, data_of
from exo_graphql.mcp.tools import BY_NAME, ToolSpec

Report = Callable[[float, float | None, str], Awaitable[None]]
"""Progress, its total if known, and what is going on."""

MAX_WAIT_SECONDS = 300
# Characters of a result that a model is made to read, about 10,000 tokens: a whole introspection has 130,000.
MAX_RESULT = 40_000
_FOUND = 10
_LEAST_PROGRESS = 0.001
# What may stand in a document before the keyword of a definition: strings and comments hide everything.
_HIDDEN = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*"|#[^\n]*', re.DOTALL)
_WORDS = re.compile(r"[{}]|\w+")


async def call(graph: Graph, name: str, arguments: Mapping[str, Any], report: Report) -> Json:
    """The result of a tool. Raises `GraphError`."""
    tool = BY_NAME.get(name)
    if tool is None:
        raise GraphError("TOOL_NOT_FOUND", f"There is no tool {name!r}.", "Use one of them.", available=list(BY_NAME))
    if tool.operators_only and not await graph.may_operate():
        raise GraphError(
            "FORBIDDEN", "This token, or this server, allows reading only.", "Use a token with the scope 'operate'."
        )
    _check(tool, arguments)
    if name == "wait":
        return await _wait(graph, arguments, report)
    if name == "graphql":
        return await _graphql(graph, arguments)
    return _SHAPES.get(name, _as_it_is)(
        data_of(await graph.ask(_document(name), _variables(name, arguments))), arguments
    )


def _check(tool: ToolSpec, arguments: Mapping[str, Any]) -> None:
    unknown = [name for name in arguments if name not in tool.arguments]
    missing = [name for name in tool.needs if arguments.get(name) is None]
    if unknown or missing:
        what = f"no argument {unknown[0]!r}" if unknown else f"to be given {missing[0]!r}"
        raise GraphError(
            "INVALID_ARGUMENT", f"The tool {tool.name} has {what}.", "See `available`.", available=list(tool.arguments)
        )
    for name, value in arguments.items():
        # The engine checks what it is sent; some numbers it is not sent.
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if tool.arguments[name].get("type") == "integer" and value is not None and not is_whole:
            raise GraphError("INVALID_ARGUMENT", f"{name} must be a whole number.", f"Leave {name} out, or give one.")


def _document(name: str) -> Document:
    return document(f"mcp/{name}")


def _variables(name: str, arguments: Mapping[str, Any]) -> Json:
    given = {key: value for key, value in arguments.items() if value is not None}
    match name:
        case "find_models":
            given.pop("first", None)
        case "operation":
            return {**given, "one": "id" in given}
        case "cancel":
            return {"id": given["operation"]}
    return given


# The results of tools whose data are not their result as they are.


def _as_it_is(data: Json, _: Mapping[str, Any]) -> Json:
    """The value of the only field; a list under the field's name. Raises `GraphError` for an error in it."""
    ((name, value),) = data.items()
    if not isinstance(value, dict):
        return {name: value}
    error = value.pop("error", None)
    if error is None:
        return value
    if "fits" in value:  # a plan says itself why it does not fit
        return {**value, "error": error}
    report = {key: found for key, found in error.items() if found is not None}
    raise GraphError(report.pop("code", "FAILED"), report.pop("message", ""), report.pop("suggestion", None), **report)


def _some_models(data: Json, arguments: Mapping[str, Any]) -> Json:
    first = arguments.get("first")
    found = data["models"]
    return {"total": len(found), "models": found[: _FOUND if first is None else max(0, first)]}


def _operations(data: Json, arguments: Mapping[str, Any]) -> Json:
    if "cluster" in data:
        return {"operations": data["cluster"]["operations"]}
    if data["operation"] is None:
        raise GraphError("OPERATION_NOT_FOUND", f"No operation {arguments['id']!r} is known.", "Call it without `id`.")
    return {"operations": [data["operation"]]}


_SHAPES: Mapping[str, Callable[[Json, Mapping[str, Any]], Json]] = {
    "find_models": _some_models,
    "operation": _operations,
}


async def _graphql(graph: Graph, arguments: Mapping[str, Any]) -> Json:
    query, variables = arguments["query"], arguments.get("variables") or {}
    if not isinstance(query, str) or not isinstance(variables, dict):
        raise GraphError("INVALID_ARGUMENT", "`query` is a text and `variables` an object.")
    if not is_read_only(query):
        raise GraphError("READ_ONLY", "This tool executes queries only.", "Use `plan` and `apply` for changes.")
    found = data_of(await graph.ask(Document("graphql", query), variables, read_only=True))
    size = len(orjson.dumps(found))
    if size > MAX_RESULT:
        raise GraphError(
            "RESULT_TOO_LARGE",
            f"The result has {size:,} characters; {MAX_RESULT:,} are allowed.",
            "Select fewer fields, or filter by the fields' arguments. `searchSchema` finds what is needed.",
        )
    return {"data": found}


def is_read_only(text: str) -> bool:
    """Whether a document defines no mutation and no subscription, by the words outside of all braces.

    `mutation` may also be the name of a field or of an argument, which stand within braces, and of a fragment, which is
    then refused although it could be executed.
    """
    depth = 0
    for word in _WORDS.findall(_HIDDEN.sub(" ", text)):
        depth += {"{": 1, "}": -1}.get(word, 0)
        if depth <= 0 and word in ("mutation", "subscription"):
            return False
    return True


def _is_over(found: Mapping[str, Any]) -> bool:
    """Whether waiting for this is useless, as the subscription's own end would have said a moment later."""
    if "state" in found:
        return found["state"] not in ("PENDING", "RUNNING")
    return not found["stale"] and (found["ready"] or found["final"] or not found["found"])


async def _wait(graph: Graph, arguments: Mapping[str, Any], report: Report) -> Json:
    operation, model = arguments.get("operation"), arguments.get("model")
    if (operation is None) == (model is None):
        raise GraphError("INVALID_ARGUMENT", "Either `operation` or `model` is needed.", "Give one of the two.")
    seconds = arguments.get("seconds")
    limit = min(MAX_WAIT_SECONDS, max(0, 60 if seconds is None else seconds))
    name, variables = ("watch_operation", {"id": operation}) if model is None else ("watch_model", {"model": model})
    found: Json = {}
    done, progress = False, 0.0
    try:
        async with asyncio.timeout(limit or 0.001), aclosing(graph.follow(_document(name), variables)) as answers:
            async for answer in answers:
                (found,) = data_of(answer).values()
                # The protocol wants it to increase with each report, also where the percentage stays.
                percent = found.get("progressPercent")
                progress = max(progress + _LEAST_PROGRESS, percent or 0.0)
                await report(progress, None if percent is None else 100.0, found["message"])
            done = True
    except TimeoutError:
        if not found:  # nothing has come in time: what is true now, then
            query = "operation" if model is None else "model_status"
            given = {"id": operation, "one": True} if model is None else {"model": model}
            data = data_of(await graph.ask(_document(query), given))
            found = _operations(data, given)["operations"][0] if model is None else data["modelStatus"]
        done = _is_over(found)
    return {"done": done, "operation": found if model is None else None, "model": None if model is None else found}
