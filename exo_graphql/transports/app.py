"""The ASGI application: which endpoint answers which path."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from exo_graphql.engine.execution import refusal
from exo_graphql.engine.turns import Turns
from exo_graphql.exo.mirror import Mirror
from exo_graphql.observability.metrics import CONTENT_TYPE, Metrics
from exo_graphql.replicas.membership import Membership
from exo_graphql.transports.asgi import address_of
from exo_graphql.transports.auth import Access, TooManyFailures, Unauthorized
from exo_graphql.transports.exchange import Exchange
from exo_graphql.transports.exo_routes import exo_routes
from exo_graphql.transports.http import ENDPOINT, HttpEndpoint
from exo_graphql.transports.mcp import PATH as MCP
from exo_graphql.transports.replica_routes import PATH as REPLICA
from exo_graphql.transports.texts import Texts
from exo_graphql.transports.websocket import WebSocketEndpoint
from exo_graphql.web import dashboard_routes, page_routes

HEALTH = "/healthz"
READINESS = "/readyz"
PROBES = (HEALTH, READINESS)
_READING = ["GET", "HEAD"]
# HAProxy's `option httpchk /readyz` sends OPTIONS, and takes the status for the server's health: as of GET.
_PROBING = [*_READING, "OPTIONS"]
_ALLOW = {"allow": ", ".join(_PROBING)}
Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


class Application:
    """Passes what is of GraphQL to its endpoints directly, and everything else to Starlette.

    Not to FastAPI, which is loaded for 70 ms and 7 MB: no other path takes parameters that it could check.
    """

    def __init__(
        self,
        http: HttpEndpoint,
        websocket: WebSocketEndpoint,
        texts: Texts,
        rest: Callable[[Exchange], Awaitable[None]],
        mcp: ASGIApp,
        replica: ASGIApp,
        *,
        lifespan: Lifespan,
        is_rest: Callable[[str], bool],
        ready: Callable[[], Awaitable[bool]],
        access: Access,
        metrics: Metrics,
        mirror: Mirror,
        membership: Membership,
        root_path: str = "",
    ) -> None:
        self._http = http
        self._websocket = websocket
        self._texts = texts
        self._rest = rest
        self._mcp = mcp
        self._replica = replica
        self._is_rest = is_rest
        self._root_path = root_path.rstrip("/")
        self._pages = _pages(lifespan, ready, access, metrics, mirror, membership)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one connection."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._pages(scope, receive, send)
            return
        path = scope["path"]
        if kind == "http" and self._root_path and path == self._root_path:
            # The pages' links are relative: without the last slash they would miss the root path. This redirect is
            # relative, too: only the client knows the scheme and name under which a proxy publishes this server.
            await RedirectResponse(f"{self._root_path.rpartition('/')[2]}/")(scope, receive, send)
            return
        if self._root_path:
            # Some proxies remove the path under which they publish this server, some keep it: both work.
            path = without_root(path, self._root_path)
        # `/healthz/` is `/healthz`, without a redirect, which would have to know the proxy's scheme and path.
        path = path.rstrip("/") or "/"
        if path != scope["path"]:
            scope = {**scope, "path": path}
        if path == ENDPOINT:
            if kind == "http":
                await self._http(scope, receive, send)
            else:
                await self._websocket(scope, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif path.startswith(f"{ENDPOINT}/"):
            await self._http(scope, receive, send)
        elif path == MCP:
            await self._mcp(scope, receive, send)
        elif path == REPLICA:
            await self._replica(scope, receive, send)
        elif path in Texts.paths:
            await self._texts(Exchange.of(scope, receive, send))
        elif self._is_rest(path):
            await self._rest(Exchange.of(scope, receive, send))
        else:
            await self._pages(scope, receive, send)


def without_root(path: str, root_path: str) -> str:
    """The path without the one under which a proxy publishes this server, if it begins with that."""
    return path.removeprefix(root_path) if path.startswith(root_path + "/") else path


def _pages(
    lifespan: Lifespan,
    ready: Callable[[], Awaitable[bool]],
    access: Access,
    metrics: Metrics,
    mirror: Mirror,
    membership: Membership,
) -> Starlette:
    turns = Turns()

    async def healthz(_: Request) -> Response:
        """The process runs."""
        return JSONResponse({"status": "ok"}, headers=_ALLOW)

    async def readyz(_: Request) -> Response:
        """There is a fresh snapshot of the cluster. A server that follows is as ready as the one that leads."""
        is_ready = await ready()
        answer = {"status": "ready" if is_ready else "not ready", "role": membership.role}
        if membership.leaderless is not None:
            # Why is for those who may read: it names hosts.
            answer["leader"] = "none"
        return JSONResponse(answer, 200 if is_ready else 503, _ALLOW)

    async def prometheus(request: Request) -> Response:
        """Metrics in Prometheus' text format, for callers that may read."""
        try:
            access.caller(request.headers.get("authorization"), address_of(request.scope))
        except Unauthorized as error:
            return Response(refusal((error,)), 401, {"www-authenticate": "Bearer"}, media_type="application/json")
        except TooManyFailures as error:
            after = {"retry-after": str(error.retry_after)}
            return Response(refusal((error,)), 429, after, media_type="application/json")
        await turns.next()  # at 64 nodes it takes 4 ms
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    app = Starlette(
        routes=[
            *page_routes(),
            *dashboard_routes(),
            *exo_routes(mirror, access, lambda: membership.secret),
            Route(HEALTH, healthz, methods=_PROBING),
            Route(READINESS, readyz, methods=_PROBING),
            Route("/metrics", prometheus, methods=_READING),
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: _refused},
    )
    app.router.redirect_slashes = False
    return app


async def _refused(_: Request, error: Exception) -> Response:
    """No such path, or no such method of it."""
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
