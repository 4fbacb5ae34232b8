"""`/exo`: what this server knows from exo, by exo's own paths, for servers that follow this one instead of exo.

    GET /exo/state      exo's `/state` as last read, without prompts; an ETag; `Prefer: wait=N` waits for news;
                        `Cache-Control: max-age=N` accepts what was read so many seconds ago (default 1)
    GET /exo/models     exo's catalogue
    GET /exo/node_id    the id of the node that is read

Anything else of exo's, all commands included, is not offered: a follower is read-only.
"""

import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from exo_graphql.cluster.upstream import UpstreamError
from exo_graphql.exo.mirror import MAX_AGE, Mirror
from exo_graphql.transports.asgi import address_of
from exo_graphql.transports.auth import Access, TooManyFailures, Unauthorized, shows

# RFC 7240, section 4.3.
_WAIT = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,6})(?:$|[,;\s])", re.IGNORECASE | re.ASCII)
# RFC 9111, section 5.2.1.1: the oldest answer that is accepted.
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=([0-9]{1,6})(?:$|[,\s])", re.IGNORECASE | re.ASCII)
_JSON = "application/json"


def _failed(status: int, message: str, headers: dict[str, str]) -> Response:
    """As exo itself fails: a follower shows the reason, and tries its next URL."""
    return JSONResponse({"detail": message}, status, {"cache-control": "no-store", **headers})


def exo_routes(mirror: Mirror, access: Access, secret: Callable[[], str | None]) -> list[Route]:
    """The routes; they need the scope `read`, or the `secret` of the servers that share a store.

    Those get `own` answers alone, see `Mirror.state`.
    """

    def route(path: str, answer: Callable[..., Awaitable[Response]]) -> Route:
        async def endpoint(request: Request) -> Response:
            authorization = request.headers.get("authorization")
            try:
                is_replica = shows(authorization, secret())
                if not is_replica:
                    access.caller(authorization, address_of(request.scope))
                return await answer(request, own=is_replica)
            except Unauthorized as error:
                return _failed(401, f"{error.message} --exo-token sends one.", {"www-authenticate": "Bearer"})
            except TooManyFailures as error:
                return _failed(429, error.message, {"retry-after": str(error.retry_after)})
            except (UpstreamError, ValueError) as error:
                return _failed(503, str(error), {})

        return Route(path, endpoint, methods=["GET", "HEAD"])

    async def state(request: Request, *, own: bool) -> Response:
        preferred = _WAIT.search(request.headers.get("prefer", ""))
        wait = 0.0 if preferred is None else float(preferred[1])
        accepted = _MAX_AGE.search(request.headers.get("cache-control", ""))
        max_age = MAX_AGE if accepted is None else float(accepted[1])
        found = await mirror.state(request.headers.get("if-none-match"), wait, max_age, own=own)
        headers = {"etag": found.etag, "cache-control": "no-store", **found.copied.headers()}
        if found.body is None:
            return Response(status_code=304, headers=headers)
        return Response(found.body, headers=headers, media_type=_JSON)

    async def models(_: Request, *, own: bool) -> Response:
        return Response(mirror.models(own=own), media_type=_JSON, headers={"cache-control": "no-store"})

    async def node_id(_: Request, *, own: bool) -> Response:
        return JSONResponse(mirror.node_id(own=own), headers={"cache-control": "no-store"})

    return [route("/exo/state", state), route("/exo/models", models), route("/exo/node_id", node_id)]
