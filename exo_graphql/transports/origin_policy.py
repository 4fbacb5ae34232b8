"""Protects against other sites' pages in a user's browser: by the names of this server, and by the pages' origins.

A page of any site can make a browser send requests to a server on its own machine or network. With DNS rebinding it
can even read the answers, under a name of its own: so the server accepts requests to its own names only. A request that
a page sends names the page's origin: only this server's own pages, and allowed origins, are accepted.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exo_graphql.engine.execution import refusal
from exo_graphql.schema.errors import NamedError
from exo_graphql.transports.asgi import respond

# A name or an address, and a port: no user, no path, nothing that two parsers could read differently. RFC 3986, 3.2.2.
_HOST = re.compile(rb"(?:\[([0-9a-f:.]+(?:%[\w.~%-]+)?)\]|([0-9a-z._-]+))(?::[0-9]{1,5})?", re.IGNORECASE | re.ASCII)
# A DNS name has at most 253 characters.
_LONGEST_HOST = 300
# Hosts for which the decision is cached; a server sees only a few.
_MAX_KNOWN_HOSTS = 256
# Headers of MCP clients; `/mcp` also answers with the id of a session.
_OF_MCP = b"last-event-id, mcp-method, mcp-name, mcp-protocol-version, mcp-session-id"
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE"),
    (b"access-control-allow-headers", b"authorization, content-type, if-none-match, " + _OF_MCP),
    (b"access-control-max-age", b"600"),
]


class OriginPolicy:
    """Wraps the application and passes on what is allowed."""

    def __init__(
        self, app: ASGIApp, hosts: Iterable[str], origins: Iterable[str], *, probes: Iterable[str] = ()
    ) -> None:
        """`probes`: paths that need no Host, since some load balancers send none. Their answers are no secret, and no
        browser omits the Host. HAProxy asks for them by OPTIONS.
        """
        self._app = app
        self._probes = frozenset(probes)
        self._hosts = frozenset(host.lower().rstrip(".") for host in (*hosts, *_own_names()))
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)
        self._known_hosts: dict[bytes, bool] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the connection to the application, or rejects it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        hosts, origin = _hosts_and_origin(scope)
        # Of several, a proxy may have read another one.
        host = hosts[0] if len(hosts) == 1 and len(hosts[0]) <= _LONGEST_HOST else b""
        if not hosts and origin is None and self._is_probe(scope):
            await self._app(scope, receive, send)
            return
        if not self._answers_to(host):
            await _refuse(
                scope,
                receive,
                send,
                421,
                "HOST_NOT_ALLOWED",
                "This server does not serve that host name." if host else "The request has no Host header, or several.",
                "Use its address, or allow the name with --allowed-host."
                if host
                else "Send one Host header; only /healthz and /readyz work without.",
            )
            return
        if origin is None:
            await self._app(scope, receive, send)
            return
        if self._is_same(origin, host):
            await self._app(scope, receive, send)
        elif origin.decode("latin-1").lower() not in self._origins:
            await _refuse(
                scope,
                receive,
                send,
                403,
                "ORIGIN_NOT_ALLOWED",
                "Pages of that origin may not send requests to this server.",
                "Allow the origin with --allowed-origin.",
            )
        else:
            await self._across(scope, receive, send, origin)

    def _is_probe(self, scope: Scope) -> bool:
        reads = scope["type"] == "http" and scope["method"] in ("GET", "HEAD", "OPTIONS")
        return reads and scope["path"].rstrip("/") in self._probes

    def _answers_to(self, host: bytes) -> bool:
        known = self._known_hosts.get(host)
        if known is None:
            name = _name(host)
            known = _is_address(name) or (name in self._hosts and name != "")
            if len(self._known_hosts) < _MAX_KNOWN_HOSTS:
                self._known_hosts[host] = known
        return known

    @staticmethod
    def _is_same(origin: bytes, host: bytes) -> bool:
        # Behind a proxy that terminates TLS the schemes differ, so only name and port are compared.
        scheme, _, authority = origin.lower().partition(b"://")
        return scheme in (b"http", b"https") and authority == host.lower() != b""

    async def _across(self, scope: Scope, receive: Receive, send: Send, origin: bytes) -> None:
        allow = [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", b"etag, mcp-session-id, retry-after"),
            (b"vary", b"Origin"),
        ]

        async def allowing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *allow]
            await send(message)

        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            await respond(send, 204, b"", b"text/plain", [*allow, *_PREFLIGHT])
        else:
            await self._app(scope, receive, allowing)


def _own_names() -> Iterable[str]:
    name = socket.gethostname().lower()
    short = name.removesuffix(".local").partition(".")[0]
    return {"localhost", name, short, f"{short}.local"} - {"", ".local"}


def _hosts_and_origin(scope: Scope) -> tuple[list[bytes], bytes | None]:
    """The values of the Host headers, and of the last Origin."""
    hosts, origin = [], None
    for name, value in scope["headers"]:
        if name == b"host":
            hosts.append(value)
        elif name == b"origin":
            origin = value
    return hosts, origin


def _name(host: bytes) -> str:
    found = _HOST.fullmatch(host)
    return "" if found is None else (found[1] or found[2]).decode("ascii").lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _refuse(
    scope: Scope, receive: Receive, send: Send, status: int, code: str, message: str, suggestion: str
) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4403})  # before the handshake: the client sees HTTP's 403
        return
    body = refusal((NamedError(code, message, suggestion),))
    await respond(send, status, body, b"application/json; charset=utf-8")
