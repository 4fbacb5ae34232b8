"""What exo answers of itself: the routes without parameters, which are read several times a second."""

import time
from http import HTTPStatus

import orjson
from starlette.responses import JSONResponse, Response

from exo_graphql.simulator.cards import Document, listing
from exo_graphql.simulator.simulation import Simulation
from exo_graphql.simulator.state import NoSuchPathError, encode_at


def refused(status: int, message: str) -> Response:
    """How exo answers an error."""
    body = {"message": message, "type": HTTPStatus(status).phrase, "param": None, "code": status}
    return JSONResponse({"error": body}, status)


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


class Reads:
    """What these routes of exo read off `simulation`."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._cluster = simulation.cluster

    async def node_id(self) -> str:
        return self._cluster.api.id

    async def state(self) -> Response:
        return _json(self._simulation.shown() or self._cluster.state.encode())

    async def state_at(self, path: str) -> Response:
        try:
            # exo answers the bare path and the path with a slash at its end alike.
            shown = self._simulation.shown()
            if not path:
                return _json(shown or self._cluster.state.encode())
            return _json(encode_at(self._cluster.state.parts() if shown is None else orjson.loads(shown), path))
        except NoSuchPathError:
            dotted = path.replace("/", ".")
            return refused(404, f"unable to find path '{dotted}' in state json")

    async def models(self, status: str | None = None) -> Response:
        cards = list(self._cluster.cards.values())
        if status == "downloaded":
            complete = {
                model_id
                for models in self._cluster.state.downloads.values()
                for model_id, listed in models.items()
                if listed.tag == "DownloadCompleted"
            }
            cards = [card for card in cards if card.model_id in complete]
        created = int(time.time())
        return _json(orjson.dumps({"object": "list", "data": [listing(card, created) for card in cards]}))

    async def instance_links(self) -> list[Document]:
        return []

    async def feature_flags(self) -> Document:
        return {"disaggregation": False}
