"""The acts: what other clients, failing nodes and exo itself do while an operation runs."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

import httpx

from exo_graphql.simulator import Fault, SimulatedExo
from exo_graphql.simulator.instance import Instance
from tests.trials.scenario import Act, Scenario


class Server(Protocol):
    """The server under test, as far as an act reaches it."""

    async def cancel(self) -> str:
        """Requests the cancellation of the operation; returns the answer, "" while the server is down."""

    async def kill(self, seconds: float) -> bool:
        """Kills it and starts it again after `seconds`; False: it is down already."""


class Actor:
    """Performs acts. Each returns how long its effect lasts, and a note; None if it was not possible."""

    def __init__(
        self, scenario: Scenario, sim: SimulatedExo, other_client: httpx.AsyncClient, server: Server, speed: float
    ) -> None:
        self._scenario = scenario
        self._sim = sim
        self._world = sim._simulation.cluster
        self._other_client = other_client
        self._server = server
        self._speed = speed
        self._rng = random.Random(f"acts {scenario.seed}")

    async def perform(self, act: Act) -> tuple[float, str] | None:
        """Performs it now."""
        handlers: dict[str, Callable[[Act], Awaitable[tuple[float, str] | None]]] = {
            "cancel": self._cancel,
            "delete new": self._delete,
            "delete old": self._delete,
            "another client loads new": self._load,
            "another client loads old": self._load,
            "rival": self._rival,
            "load fails": self._load_fails,
            "crash new": self._crash,
            "crash old": self._crash,
            "node dies": self._node_dies,
            "master dies": self._master_dies,
            "exo restarts": self._restart,
            "exo stops": self._stop,
            "server killed": self._kill,
        }
        return await handlers[act.kind](act)

    def _models(self, act: Act) -> tuple[str, ...]:
        return self._scenario.load if "new" in (act.kind.split()[-1], act.target) else self._scenario.unload

    def _instances(self, act: Act) -> list[Instance]:
        listed = self._sim._simulation.instances.all.values()
        return [instance for instance in listed if instance.card.model_id in self._models(act)]

    async def _cancel(self, _: Act) -> tuple[float, str] | None:
        answer = await self._server.cancel()
        return (0.0, answer) if answer else None

    async def _delete(self, act: Act) -> tuple[float, str] | None:
        instances = self._instances(act)
        if not instances:
            return None
        instance = self._rng.choice(instances)
        return await self._send("DELETE", f"/instance/{instance.id}", f"{instance.id[:8]} of {instance.card.model_id}")

    async def _load(self, act: Act) -> tuple[float, str] | None:
        models = self._models(act)
        return await self._place(self._rng.choice(models)) if models else None

    async def _rival(self, act: Act) -> tuple[float, str] | None:
        return await self._place(act.target)

    async def _place(self, model: str) -> tuple[float, str] | None:
        return await self._send("POST", "/place_instance", model, json={"model_id": model})

    async def _send(self, method: str, path: str, note: str, json: object = None) -> tuple[float, str] | None:
        try:
            async with asyncio.timeout(20.0):
                answer = await self._other_client.request(method, path, json=json)
        except (httpx.HTTPError, TimeoutError):
            # Other clients cannot reach exo either.
            return None
        return (0.2, note) if answer.status_code == 200 else None

    async def _load_fails(self, act: Act) -> tuple[float, str] | None:
        if not self._scenario.load:
            return None
        model = self._rng.choice(self._scenario.load)
        count = None if act.target == "always" else int(act.target)
        self._sim.control.inject(Fault("load-fails", model, count=count))
        return 0.0, f"{model} {act.target}"

    async def _crash(self, act: Act) -> tuple[float, str] | None:
        ready = [instance for instance in self._instances(act) if instance.phase == "ready"]
        if not ready or not self._sim.control.crash(ready[0].id):
            return None
        return 0.0, f"{ready[0].id[:8]} of {ready[0].card.model_id}"

    async def _node_dies(self, act: Act) -> tuple[float, str] | None:
        kept = {self._world.api.id, self._world.master.id}
        hosts = [r.node for instance in self._instances(act) for r in instance.runners]
        alive = [node for node in self._world.nodes.values() if node.alive]
        candidates = [node for node in (*hosts, *alive) if node.alive and node.id not in kept]
        if not candidates:
            return await self._master_dies(act)
        node = candidates[0]
        self._sim.control.kill_node(node.id)
        if act.seconds:
            self._sim._simulation.clock.call_later(act.seconds, lambda: self._revive(node.id))
        # exo notices it after 33-39 s and deletes its instances after 43-50 s (exo/API.md).
        return 50.0, f"{node.machine.name}{' for a while' if act.seconds else ''}"

    def _revive(self, node_id: str) -> None:
        if self._world.api.alive:
            self._sim.control.revive_node(node_id)

    async def _master_dies(self, _: Act) -> tuple[float, str] | None:
        master = self._world.master
        if master is self._world.api or not master.alive:
            return None
        self._sim.control.kill_master()
        return 10.0 + 3.0 * self._scenario.nodes, master.machine.name

    async def _restart(self, act: Act) -> tuple[float, str] | None:
        if not self._world.api.alive:
            return None
        self._sim.control.restart(act.seconds)
        return act.seconds + 10.0 + 3.0 * self._scenario.nodes, f"down for {act.seconds:g} s"

    async def _stop(self, act: Act) -> tuple[float, str] | None:
        self._sim.control.inject(Fault("hang", duration=act.seconds))
        return act.seconds, f"for {act.seconds:g} s"

    async def _kill(self, act: Act) -> tuple[float, str] | None:
        return (act.seconds, f"down for {act.seconds:g} s") if await self._server.kill(act.seconds) else None
