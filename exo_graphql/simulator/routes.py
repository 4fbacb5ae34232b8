"""What the routes of exo's HTTP API do that have parameters, with exo's bodies, status codes and errors."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated

import orjson
from fastapi import HTTPException, Query
from starlette.responses import Response, StreamingResponse

from exo_graphql.simulator import bodies
from exo_graphql.simulator.cards import Card, Document, card_document, listing
from exo_graphql.simulator.commands import Commands
from exo_graphql.simulator.hub import HUB, search
from exo_graphql.simulator.inference import text_params
from exo_graphql.simulator.placement import ImpossibleError, place
from exo_graphql.simulator.placement import Request as Wanted
from exo_graphql.simulator.reads import Reads
from exo_graphql.simulator.simulation import Simulation
from exo_graphql.simulator.state import StateDocument

UNKNOWN_MODEL_SECONDS = 17.0
"""How long exo asks Hugging Face about a model that it has no card for."""
_POLL_SECONDS = 0.05
# What exo answers of a card that was added.
_ADDED = frozenset(
    [
        "id",
        "hugging_face_id",
        "name",
        "description",
        "tags",
        "storage_size_megabytes",
        "supports_tensor",
        "tasks",
        "is_custom",
    ]
)
_ANSWER = "This is a simulated exo: it has no weights."


class ServerError(Exception):
    """exo's own exceptions end as a 500 in plain text."""


class Routes(Reads):
    """What each route of exo does to `simulation`."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation)
        self._commands = Commands(simulation)
        self._own_chats: set[str] = set()

    async def place_instance(self, payload: bodies.PlaceInstance) -> Document:
        card = await self._card(payload.model_id)
        wanted = Wanted(card, payload.sharding.value, payload.instance_meta.value, payload.min_nodes)
        command_id = await self._commands.send(lambda: self._simulation.place(wanted))
        return _received(command_id, model_card=card_document(card))

    async def create_instance(self, payload: bodies.CreateInstance) -> Document:
        body = next(iter(payload.instance.values()))
        card = await self._card(body["shardAssignments"]["modelId"])
        available = sum(one["ramAvailable"]["inBytes"] for one in self._cluster.state.memory.values())
        if card.storage_bytes > available:
            raise HTTPException(
                400,
                f"Insufficient memory to create instance. Required: {card.storage_bytes / 1024**3:.1f}GB, "
                f"Available: {available / 1024**3:.1f}GB",
            )
        command_id = await self._commands.send(lambda: self._simulation.create(payload.instance))
        return _received(command_id, model_card=card_document(card))

    async def placement(
        self,
        model_id: str,
        sharding: bodies.Sharding = bodies.Sharding.Pipeline,
        instance_meta: bodies.InstanceMeta = bodies.InstanceMeta.MlxRing,
        min_nodes: int = 1,
    ) -> Document:
        card = await self._card(model_id)
        try:
            return self._place(Wanted(card, sharding.value, instance_meta.value, min_nodes))
        except ImpossibleError as error:
            raise HTTPException(400, str(error)) from error

    async def previews(self, model_id: str, node_ids: Annotated[list[str] | None, Query()] = None) -> Document:
        count = len(self._cluster.state.nodes)
        if count == 0:
            return {"previews": []}
        card = self._cluster.cards.get(model_id)
        if card is None:
            await self._cluster.clock.sleep(UNKNOWN_MODEL_SECONDS + 1)
            raise HTTPException(400, f"Failed to load model card: no answer from the hub for {model_id}")
        previews: list[Document] = []
        seen: set[tuple[str, str, int]] = set()
        for sharding in ("Pipeline", "Tensor"):
            for meta in ("MlxRing", "MlxJaccl"):
                for least in range(1, count + 1):
                    preview, size = self._preview(Wanted(card, sharding, meta, least, frozenset(node_ids or ())))
                    if (sharding, meta, size) not in seen:
                        seen.add((sharding, meta, size))
                        previews.append(preview)
        return {"previews": previews}

    async def instance(self, instance_id: str) -> Document:
        return self._known_instance(instance_id)

    async def delete_instance(self, instance_id: str) -> Document:
        self._known_instance(instance_id)
        command_id = await self._commands.send(lambda: self._simulation.instances.delete(instance_id))
        return _received(command_id, instance_id=instance_id)

    async def search_models(self, query: str = "", limit: int = 20) -> list[Document]:
        return search(query, limit, self._cluster.cards)

    async def add_model(self, payload: bodies.AddModel) -> Document:
        card = next((card for card in HUB if card.model_id == payload.model_id), None)
        if card is None:
            raise HTTPException(
                400, f"Failed to fetch model: 404 Client Error. Repository Not Found: {payload.model_id}"
            )
        await self._commands.send(lambda: self._cluster.state.custom.update({card.model_id: card_document(card)}))
        # exo's own catalogue has it at once, the state once the master has carried the command out.
        self._cluster.cards[card.model_id] = card
        return {key: value for key, value in listing(card, 0).items() if key in _ADDED}

    async def remove_model(self, model_id: str) -> Document:
        card = self._cluster.cards.get(model_id)
        if card is None or not card.is_custom:
            raise HTTPException(404, "Custom model card not found")

        def effect() -> None:
            self._cluster.state.custom.pop(model_id, None)
            self._cluster.cards.pop(model_id, None)

        await self._commands.send(effect)
        return {"message": "Model card deleted", "model_id": model_id}

    async def start_download(self, payload: bodies.StartDownload) -> Document:
        shard = next(iter(payload.shard_metadata.values()))
        return self._download(payload.target_node_id, shard["modelCard"]["modelId"], "start")

    async def cancel_download(self, payload: bodies.CancelDownload) -> Document:
        return self._download(payload.target_node_id, payload.model_id, "cancel")

    async def delete_download(self, node_id: str, model_id: str) -> Document:
        return self._download(node_id, model_id, "delete")

    async def chat(self, payload: bodies.ChatCompletion) -> Response:
        if not any(one.card.model_id == payload.model for one in self._simulation.instances.all.values()):
            raise HTTPException(404, f"No instance found for model {payload.model}")
        messages = [message.document() for message in payload.messages]
        params = text_params(payload.model, messages, payload.max_tokens)
        # 25 tokens a second, and half a second to read the prompt.
        seconds = 0.5 + min(payload.max_tokens or 200, 500) / 25
        ended: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def done(problem: str | None) -> None:
            if not ended.done():
                ended.set_result(problem)

        started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        state = self._cluster.state
        await self._commands.send(lambda: started.set_result(self._simulation.inference.submit(params, seconds, done)))
        media_type = "text/event-stream" if payload.stream else "application/json"
        return StreamingResponse(self._answer(payload, state, started, ended), media_type=media_type)

    async def cancel(self, command_id: str) -> Document:
        if command_id not in self._own_chats and not self._simulation.inference.is_of_traffic(command_id):
            raise HTTPException(404, "Command not found or already completed")
        await self._commands.send(lambda: self._simulation.inference.cancel(command_id))
        return {"message": "Command cancelled.", "command_id": command_id}

    async def _answer(
        self,
        payload: bodies.ChatCompletion,
        state: StateDocument,
        started: asyncio.Future[str],
        ended: asyncio.Future[str | None],
    ) -> AsyncIterator[bytes]:
        while not started.done():
            await asyncio.wait([started], timeout=_POLL_SECONDS)
            if not started.done() and self._cluster.state is not state:
                # The command went to a master that died. exo lets its client wait for ever.
                yield orjson.dumps({"error": {"message": "the command was lost in an election"}})
                return
        command_id = started.result()
        self._own_chats.add(command_id)
        try:
            problem = await ended
        finally:
            self._own_chats.discard(command_id)
            self._simulation.inference.cancel(command_id)
        text = _ANSWER if problem is None else problem
        choice: Document = {"index": 0, "logprobs": None, "finish_reason": "stop" if problem is None else "error"}
        message = {"role": "assistant", "content": text}
        answer = {"id": command_id, "created": int(time.time()), "model": payload.model}
        if payload.stream:
            chunk = {**answer, "object": "chat.completion.chunk", "choices": [{**choice, "delta": message}]}
            yield b"data: " + orjson.dumps(chunk) + b"\n\n"
            yield b"data: [DONE]\n\n"
        else:
            yield orjson.dumps({**answer, "object": "chat.completion", "choices": [{**choice, "message": message}]})

    async def _card(self, model_id: str) -> Card:
        card = self._cluster.cards.get(model_id)
        if card is None:
            await self._cluster.clock.sleep(UNKNOWN_MODEL_SECONDS)
            raise ServerError(model_id)
        return card

    def _known_instance(self, instance_id: str) -> Document:
        document = self._cluster.state.instances.get(instance_id)
        if document is None:
            raise HTTPException(404, "Instance not found")
        return document

    def _place(self, wanted: Wanted) -> Document:
        return place(wanted, self._cluster.state, self._cluster.rng, self._cluster.new_id)

    def _preview(self, wanted: Wanted) -> tuple[Document, int]:
        """One preview and its node count, 0 when it is an error."""
        preview: Document = {
            "model_id": wanted.card.model_id,
            "sharding": wanted.sharding,
            "instance_meta": wanted.meta,
            "instance": None,
            "memory_delta_by_node": None,
            "error": None,
        }
        try:
            instance = self._place(wanted)
        except ImpossibleError as error:
            return {**preview, "error": str(error)}, 0
        nodes = sorted(next(iter(instance.values()))["shardAssignments"]["nodeToRunner"])
        share, rest = divmod(wanted.card.storage_bytes, len(nodes))
        deltas = {node: share + (index < rest) for index, node in enumerate(nodes)}
        return {**preview, "instance": instance, "memory_delta_by_node": deltas}, len(nodes)

    def _download(self, node_id: str, model_id: str, action: str) -> Document:
        def effect() -> None:
            node = self._cluster.nodes.get(node_id)
            card = self._cluster.cards.get(model_id)
            if node is not None and node.alive and card is not None:
                getattr(self._simulation.downloads, action)(node, card)

        return {"commandId": self._commands.send_past_master(effect)}


def _received(command_id: str, **fields: object) -> Document:
    return {"message": "Command received.", "command_id": command_id, **fields}
