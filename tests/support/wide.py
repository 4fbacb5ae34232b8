"""A wide cluster: the simulated exo's four nodes, eight times over, as an exo that answers nothing but reads."""

import re
from types import TracebackType
from typing import Any, Self, cast

import httpx
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exo_graphql.simulator import SimulatedExo

_ID = re.compile(rb'"([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"')


class WideExo:
    """In the place of the simulated exo. `state` is what `GET /state` answers."""

    def __init__(self, times: int = 8) -> None:
        self.state: dict[str, Any] = {}
        self.app = Starlette(
            routes=[
                Route("/state", self._state),
                Route("/models", self._models),
                Route("/v1/models", self._models),
                Route("/node_id", self._node_id),
                Route("/instance/previews", self._previews),
            ]
        )
        self._times = times
        self._id = ""
        self._bodies: dict[str, bytes] = {}

    async def __aenter__(self) -> Self:
        sim = SimulatedExo(seed=1)
        async with sim, httpx.AsyncClient(transport=httpx.ASGITransport(sim.app), base_url="http://exo") as client:
            for path in ("/state", "/models"):
                self._bodies[path] = (await client.get(path)).content
        self.change(_widened(self._bodies["/state"], self._times))
        self._id = self.state["topology"]["nodes"][0]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bodies.clear()

    @property
    def simulated(self) -> SimulatedExo:
        """This, for callers that take a simulated exo and use only its application."""
        return cast("SimulatedExo", self)

    def change(self, state: dict[str, Any]) -> None:
        """What exo answers from now on."""
        self.state = state
        self._bodies["/state"] = orjson.dumps(state)

    async def _previews(self, _: Request) -> Response:
        return Response(b'{"previews": []}', media_type="application/json")

    async def _state(self, _: Request) -> Response:
        return Response(self._bodies["/state"], media_type="application/json")

    async def _models(self, _: Request) -> Response:
        return Response(self._bodies["/models"], media_type="application/json")

    async def _node_id(self, _: Request) -> Response:
        return Response(orjson.dumps(self._id), media_type="application/json")


def _widened(body: bytes, times: int) -> dict[str, Any]:
    """The state with every id made into `times` ids."""
    copies = [
        orjson.loads(_ID.sub(lambda found, n=number: b'"%02d%b"' % (n, found.group(1)[2:]), body))  # type: ignore[misc]
        for number in range(times)
    ]
    widened: dict[str, Any] = _merged(copies)
    return widened


def _merged(copies: list[Any]) -> Any:
    if isinstance(copies[0], dict):
        keys = dict.fromkeys(key for copy in copies for key in copy)
        return {key: _merged([copy[key] for copy in copies if key in copy]) for key in keys}
    if isinstance(copies[0], list) and len(copies) > 1:
        return list(dict.fromkeys(item for copy in copies for item in copy)) if _are_texts(copies) else copies[0]
    return copies[0]


def _are_texts(copies: list[Any]) -> bool:
    return all(isinstance(item, str) for copy in copies for item in copy)
