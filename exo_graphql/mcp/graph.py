"""What the tools need of a server: the answers to documents, and the messages of subscriptions."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol

from exo_graphql.documents import Document

Json = dict[str, Any]


class GraphError(Exception):
    """No answer, or a refusal. `report` is what a tool tells its caller: code, message, suggestion, choices."""

    def __init__(self, code: str, message: str, suggestion: str | None = None, **choices: object) -> None:
        super().__init__(message)
        self.report: Json = {"code": code, "message": message, "suggestion": suggestion, **choices}


class Graph(Protocol):
    """One caller's access to one server."""

    async def may_operate(self) -> bool:
        """Whether the caller may change the cluster."""
        ...

    async def may_query(self) -> bool:
        """Whether the server executes queries that the caller writes itself."""
        ...

    async def ask(self, document: Document, variables: Mapping[str, Any], *, read_only: bool = False) -> Json:
        """The whole answer, `data` and `errors`. With `read_only` a mutation is refused. Raises `GraphError`."""
        ...

    def follow(self, document: Document, variables: Mapping[str, Any]) -> AsyncGenerator[Json]:
        """The answers of a subscription until it completes. Raises `GraphError`."""
        ...


def data_of(answer: Mapping[str, Any]) -> Json:
    """The data of an answer. Raises `GraphError` for its first error."""
    errors = answer.get("errors")
    if errors:
        extensions = errors[0].get("extensions") or {}
        choices = {name: extensions[name] for name in ("candidates", "available", "limit") if extensions.get(name)}
        raise GraphError(
            extensions.get("code", "FAILED"), errors[0].get("message", ""), extensions.get("suggestion"), **choices
        )
    data: Json = answer.get("data") or {}
    return data
