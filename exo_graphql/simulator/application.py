"""exo's routes as a FastAPI application, as exo itself is one: what FastAPI refuses is refused in the same words."""

import inspect
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from starlette.routing import Route

from exo_graphql.simulator.reads import refused
from exo_graphql.simulator.routes import Routes, ServerError

ROUTES = "exo_graphql.simulator.routes"
"""Where the scope of a request holds the `Routes` of the simulated exo that got it."""


@cache
def application() -> FastAPI:
    """exo's routes. All simulated exos of a process share them: FastAPI takes a while to read their signatures."""
    app = FastAPI(title="exo")
    app.add_middleware(
        CORSMiddleware, allow_origins=["*"], allow_credentials=True, allow_methods=["*"], allow_headers=["*"]
    )
    app.exception_handler(HTTPException)(_error)
    app.exception_handler(ServerError)(_server_error)
    # What is read several times a second goes without FastAPI's checks of parameters: it has none that need any.
    for path, read in (("/state", Routes.state), ("/state/{path:path}", Routes.state_at)):
        route = Route(path, _read(read))
        route.methods = {"GET"}  # no HEAD, which Starlette would add and exo does not have
        app.router.routes.append(route)
    app.get("/node_id")(_call(Routes.node_id))
    app.get("/models")(_call(Routes.models))
    app.get("/v1/models")(_call(Routes.models))
    app.post("/place_instance")(_call(Routes.place_instance))
    app.post("/instance")(_call(Routes.create_instance))
    app.get("/instance/placement")(_call(Routes.placement))
    app.get("/instance/previews")(_call(Routes.previews))
    app.get("/instance/{instance_id}")(_call(Routes.instance))
    app.delete("/instance/{instance_id}")(_call(Routes.delete_instance))
    app.get("/models/search")(_call(Routes.search_models))
    app.post("/models/add")(_call(Routes.add_model))
    app.delete("/models/custom/{model_id:path}")(_call(Routes.remove_model))
    app.get("/v1/instance-links")(_call(Routes.instance_links))
    app.get("/v1/feature-flags")(_call(Routes.feature_flags))
    app.post("/download/start")(_call(Routes.start_download))
    app.post("/download/cancel")(_call(Routes.cancel_download))
    app.delete("/download/{node_id}/{model_id:path}")(_call(Routes.delete_download))
    app.post("/v1/chat/completions", response_model=None)(_call(Routes.chat))
    app.post("/v1/cancel/{command_id}")(_call(Routes.cancel))
    return app


def _read(method: Callable[..., Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint that calls `method` of the simulated exo that got the request, with the parts of the path."""

    async def endpoint(request: Request) -> Response:
        return await method(request.scope[ROUTES], **request.path_params)

    return endpoint


def _call(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The endpoint that calls `method` of the simulated exo that got the request, with what FastAPI has read."""

    async def endpoint(request: Request, **given: Any) -> Any:
        return await method(request.scope[ROUTES], **given)

    signature = inspect.signature(method)
    _, *given = signature.parameters.values()
    request = inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request)
    parameters = [request, *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in given)]
    endpoint.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # FastAPI reads it
    return endpoint


async def _error(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return refused(error.status_code, error.detail)


async def _server_error(_: Request, __: Exception) -> Response:
    return Response("Internal Server Error", status_code=500, media_type="text/plain")
