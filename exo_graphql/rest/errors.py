"""Errors of the routes: the PR's envelope and statuses, with GraphQL's code, suggestion and choices beside them."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

STATUSES: Mapping[str, int] = {
    "INSUFFICIENT_MEMORY": 400,
    "PLACEMENT_REFUSED": 400,
    "MODEL_AMBIGUOUS": 400,
    "NODE_AMBIGUOUS": 400,
    "LIMIT_EXCEEDED": 400,
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "READ_ONLY": 403,
    "NOT_FOUND": 404,
    "NODE_NOT_FOUND": 404,
    "MODEL_NOT_FOUND": 404,
    "MODEL_NOT_LOADED": 404,
    "OPERATION_CONFLICT": 409,
    "INVALID_ARGUMENT": 422,
    "BAD_USER_INPUT": 422,
    "TOO_MANY_OPERATIONS": 429,
    "TOO_MANY_FAILED_TOKENS": 429,
    "CLUSTER_UNAVAILABLE": 503,
    "JOURNAL_UNAVAILABLE": 503,
    "OVERLOADED": 503,
    "OUTCOME_UNKNOWN": 504,
}
"""By GraphQL's code; any other is 500."""


class RouteError(Exception):
    """An error of a route. `details` are the choices that exist, as in GraphQL's extensions."""

    def __init__(self, status: int, code: str, message: str, suggestion: str | None = None, **details: object) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.suggestion = suggestion
        self.details = details

    @property
    def body(self) -> dict[str, Any]:
        """The PR's envelope. Its command line shows the message alone, so the suggestion is there, too."""
        text = f"{self.message} {self.suggestion}" if self.suggestion else self.message
        return {
            "error": {
                "message": text,
                "type": HTTPStatus(self.status).phrase,
                "code": self.status,
                "reason": self.code,
                "suggestion": self.suggestion,
                **self.details,
            }
        }


def of_extensions(message: str, extensions: Mapping[str, Any]) -> RouteError:
    """A top-level error of GraphQL."""
    details = {key: value for key, value in extensions.items() if key not in ("code", "suggestion")}
    code = extensions.get("code", "INTERNAL_ERROR")
    return RouteError(STATUSES.get(code, 500), code, message, extensions.get("suggestion"), **details)


def of_payload(error: Mapping[str, Any]) -> RouteError:
    """The error in a mutation's payload, as the fragment `RestError` selects it."""
    code, message = error["code"], error["message"]
    details = {key: _plain(value) for key, value in error.items() if key not in ("code", "message", "suggestion")}
    if code == "MODEL_NOT_LOADED":
        return not_loaded(message, details["loaded"])
    candidates = details.get("candidates")
    suggestion = f"Use one of: {', '.join(candidates)}." if candidates else error["suggestion"]
    return RouteError(STATUSES.get(code, 500), code, message, suggestion, **details)


def not_loaded(message: str, loaded: Sequence[str]) -> RouteError:
    """A model that is to be unloaded has no instance. `loaded`: those that have."""
    suggestion = f"Loaded are: {', '.join(loaded)}." if loaded else "No model is loaded."
    return RouteError(STATUSES["MODEL_NOT_LOADED"], "MODEL_NOT_LOADED", message, suggestion, loaded=list(loaded))


def _plain(value: Any) -> Any:
    return [item["value"] if isinstance(item, dict) else item for item in value] if isinstance(value, list) else value
