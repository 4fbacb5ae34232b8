"""Where the server is: the ways to write it, made one."""

from urllib.parse import urlsplit, urlunsplit

from exo_graphql import loopback

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 52416
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}/graphql"


def endpoint(url: str) -> str:
    """The URL of the endpoint: `http://` is added where there is no scheme, `/graphql` at the end of the path.

    "https://studio.example/exo" is where a proxy publishes the server, so "https://studio.example/exo/graphql" it is.
    Raises ValueError, fit for the user, for what is no URL of a server.
    """
    text = url.strip()
    if "://" not in text:
        text = f"http://{text}"
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{url!r} is neither http nor https")
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} has no valid port") from error
    if not parts.hostname or any(c.isspace() for c in text) or port == 0:
        raise ValueError(f"{url!r} names no server")
    path = parts.path.rstrip("/")
    if not path.endswith("/graphql"):
        path += "/graphql"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def endpoint_at(host: str | None, port: int | None) -> str:
    """The URL of the endpoint on a host and port, each with its default."""
    name = host or DEFAULT_HOST
    if ":" in name and not name.startswith("["):
        name = f"[{name}]"
    return endpoint(f"http://{name}:{port or DEFAULT_PORT}")


def is_loopback(url: str) -> bool:
    """Whether the server is on this machine."""
    return loopback.is_loopback(urlsplit(url).hostname or "")
