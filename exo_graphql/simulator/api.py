"""exo's HTTP API: its reads, and FastAPI's application for everything else."""

import asyncio
import importlib
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import ModuleType
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Router
from starlette.types import Receive, Scope, Send

from exo_graphql.simulator.reads import Reads
from exo_graphql.simulator.simulation import Simulation

_STATE_AT = "/state/"


class _FastApi:
    """The module `application`, whose application all simulated exos of a process share.

    FastAPI takes 0.1 s and 9 MB, so it is not loaded before a request needs it: not for a demo that is only looked at.
    """

    def __init__(self) -> None:
        self._module: ModuleType | None = None
        self._lock = threading.Lock()

    def load(self) -> ModuleType:
        """The module, loaded on this thread; its application is made."""
        with self._lock:
            module = importlib.import_module("exo_graphql.simulator.application")
            module.application()
            self._module = module
            return module

    async def loaded(self) -> ModuleType:
        """The module, loaded on another thread: other requests do not wait for it."""
        return await asyncio.to_thread(self.load) if self._module is None else self._module


FASTAPI = _FastApi()


class Api:
    """The ASGI application, reading and commanding `simulation`."""

    def __init__(
        self, simulation: Simulation, lifespan: Callable[[Any], AbstractAsyncContextManager[None]] | None = None
    ) -> None:
        self._simulation = simulation
        self._reads = Reads(simulation)
        self._routes: Any = None
        """The routes of FastAPI's application, once it is loaded."""
        self._lifespan = Router(lifespan=lifespan)
        self._read: dict[str, Callable[[], Awaitable[object]]] = {
            "/state": self._reads.state,
            "/node_id": self._reads.node_id,
            "/models": self._reads.models,
            "/v1/models": self._reads.models,
            "/v1/instance-links": self._reads.instance_links,
            "/v1/feature-flags": self._reads.feature_flags,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the events of the application's lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif self._is_read(scope):
            # Most requests by far, several a second: nothing of the application between would change the answer.
            await (await self._answer(scope["path"]))(scope, receive, send)
        else:
            module = await FASTAPI.loaded()
            if self._routes is None:
                self._routes = module.Routes(self._simulation)
            await module.application()({**scope, module.ROUTES: self._routes}, receive, send)

    async def route_of(self, scope: Scope) -> str:
        """The path of the route that answers the request, with the names of its parameters."""
        path = str(scope["path"])
        if self._is_read(scope):
            return f"{_STATE_AT}{{path:path}}" if path.startswith(_STATE_AT) else path
        for route in (await FASTAPI.loaded()).application().routes:
            if route.matches(scope)[0] is Match.FULL:
                return str(getattr(route, "path", ""))
        return path

    def _is_read(self, scope: Scope) -> bool:
        """Whether it is a read without parameters, and not by a page of another origin, which needs CORS headers."""
        return (
            scope["method"] == "GET"
            and (scope["path"] in self._read or scope["path"].startswith(_STATE_AT))
            and not scope["query_string"]
            and not any(name == b"origin" for name, _ in scope["headers"])
        )

    async def _answer(self, path: str) -> Response:
        if path.startswith(_STATE_AT):
            return await self._reads.state_at(path.removeprefix(_STATE_AT))
        answer = await self._read[path]()
        return answer if isinstance(answer, Response) else JSONResponse(answer)
