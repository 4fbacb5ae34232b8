"""The files behind the pages: scripts, styles, the third-party files, the examples."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from os import PathLike, stat_result
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from exo_graphql.documents import FOLDER
from exo_graphql.web.examples import examples
from exo_graphql.web.vendor import VENDOR

STATIC = Path(__file__).with_name("static")


class _Assets(StaticFiles):
    """Files that a browser revalidates by ETag, except third-party files: their address contains the version."""

    def file_response(
        self,
        full_path: str | PathLike[str],
        stat_result: stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        forever = Path(full_path).is_relative_to(VENDOR)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if forever else "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def file_route(path: str, directory: Path) -> Route:
    """The files of a directory, below `path`: GET (and HEAD)."""
    # Not a mount: that matches the root path as well, and fails behind a proxy that removes it.
    assets = _Assets(directory=directory)

    async def asset(request: Request) -> Response:
        return await assets.get_response(request.path_params["path"], request.scope)

    return Route(f"{path}/{{path:path}}", asset, methods=["GET"])


def page_routes(operations: Path = FOLDER) -> list[BaseRoute]:
    """The routes that the pages load from: GET (and HEAD) below `/graphiql/assets`, open to everyone.

    They hold no data of the cluster, so a page can load before it has a token. `operations` is the folder of
    GraphiQL's example documents.
    """

    async def examples_json(_request: Request) -> Response:
        return Response(
            _examples_body(operations), media_type="application/json", headers={"Cache-Control": "no-cache"}
        )

    return [
        Route("/graphiql/assets/examples.json", examples_json, methods=["GET"]),
        file_route("/graphiql/assets", STATIC),
    ]


@cache
def _examples_body(operations: Path) -> bytes:
    """GraphiQL's examples. Parsing them takes 20 ms: a server starts without, and the first page waits for it."""
    return bytes(JSONResponse([asdict(example) for example in examples(operations)]).body)
