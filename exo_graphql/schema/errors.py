"""Top-level errors with `extensions.code`, and where they help `extensions.suggestion` and the valid choices."""

from dataclasses import asdict

from graphql import GraphQLError

from exo_graphql.cluster.names import Ambiguous, Unknown, no_such_model
from exo_graphql.cluster.upstream import Misconfigured, Unreachable


class NamedError(GraphQLError):
    """A `GraphQLError` with a stable code. Any other exception of a resolver is reported as an internal fault."""

    def __init__(self, code: str, message: str, suggestion: str | None = None, **extensions: object) -> None:
        """`extensions` are added beside `code` and `suggestion`."""
        known = {"code": code, **({"suggestion": suggestion} if suggestion else {}), **extensions}
        super().__init__(message, extensions=known)


class ClusterUnavailableError(NamedError):
    """No exo node has answered since this server started."""

    def __init__(self, cause: Unreachable | None = None) -> None:
        """`cause`: why no node can be reached; `Misconfigured` where waiting does not help."""
        super().__init__(
            "CLUSTER_UNAVAILABLE",
            "No exo node has answered yet." if cause is None else str(cause),
            "Check that exo runs and that --exo-url points at it, then try again."
            if not isinstance(cause, Misconfigured)
            else "Check --exo-url; give the certificates of a private authority with --ca-file or SSL_CERT_FILE.",
            **({} if cause is None or not cause.refusals else {"exoErrors": [asdict(each) for each in cause.refusals]}),
        )


class IntrospectionDisabledError(NamedError):
    """The schema is not to be described (`--no-introspection`)."""

    def __init__(self) -> None:
        super().__init__(
            "INTROSPECTION_DISABLED",
            "This server does not describe its schema.",
            "Read schema.graphql of exo-graphql, or start the server without --no-introspection.",
        )


def model_error(error: Ambiguous | Unknown) -> NamedError:
    """The error for a model name that matches none or several."""
    name = shorten(error.name)
    if isinstance(error, Ambiguous):
        return NamedError(
            "MODEL_AMBIGUOUS",
            f"{name!r} matches {len(error.candidates)} models.",
            "Use the full id of one of them.",
            candidates=list(error.candidates),
        )
    return NamedError(
        "MODEL_NOT_FOUND",
        f"No model is called {name!r}.",
        no_such_model(error) or "List the models with { models { id } }.",
        candidates=list(error.candidates),
    )


def node_error(error: Ambiguous | Unknown) -> NamedError:
    """The error for a node name that matches none or several."""
    name = shorten(error.name)
    if isinstance(error, Ambiguous):
        return NamedError(
            "NODE_AMBIGUOUS",
            f"{name!r} is the name of {len(error.candidates)} nodes.",
            "Use the id of one of them.",
            candidates=list(error.candidates),
        )
    return NamedError(
        "NODE_NOT_FOUND",
        f"No node is called {name!r}.",
        f"Use one of: {', '.join(error.candidates)}." if error.candidates else "The cluster has no nodes now.",
        available=list(error.candidates),
    )


def shorten(name: str, limit: int = 120) -> str:
    """The caller's text, cut to `limit` characters before it is repeated in an error."""
    return name if len(name) <= limit else name[: limit - 1] + "…"
