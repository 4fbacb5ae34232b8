"""The server of a soak: the demo with faults injected all the time, in a process that reports how much it holds."""

import asyncio
import gc
import logging
import random
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from exo_graphql.app import Components, build
from exo_graphql.serve import Server, server_config
from exo_graphql.settings import Settings
from exo_graphql.simulator import Fault, Scenario, SimulatedExo, default_scenario
from exo_graphql.simulator.scenario import SMALL_MODELS

# Simulated seconds: the demo runs faster than time does, so that operations come to an end.
SPEED = 10.0
_MEMORY = {"memory MB": "VmRSS", "its peak": "VmHWM"}
_FAULTS = (
    Fault("hang", duration=50),
    Fault("error", duration=50),
    Fault("garbage", duration=50),
    Fault("load-fails", SMALL_MODELS[0], duration=60),
    Fault("load-fails", SMALL_MODELS[2], duration=60),
    Fault("download-fails", SMALL_MODELS[3], duration=60),
)


def serve(port: int, faults_every: float, asked: Connection) -> None:
    """Serves until False arrives over `asked`. Anything else is answered with how much the server holds."""
    logging.basicConfig(level=logging.CRITICAL)
    counted = _Counted()
    logging.getLogger().addHandler(counted)
    asyncio.run(_serve(port, faults_every, asked, counted))


class _Counted(logging.Handler):
    """How often faults were logged, and the first words of each kind."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.kinds: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Counts one."""
        kind = f"{record.name}: {record.msg[:60]}"
        self.kinds[kind] = self.kinds.get(kind, 0) + 1


class _Stalls:
    """How late the event loop is for what was to be done at a time."""

    def __init__(self) -> None:
        self._late: list[float] = []

    async def watch(self) -> None:
        """Looks every few milliseconds."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.003
            await asyncio.sleep(0.003)
            self._late = sorted([*self._late, loop.time() - due])[-5:]

    def take(self) -> list[float]:
        """The longest since it was last asked, in milliseconds."""
        late, self._late = self._late, []
        return [round(seconds * 1e3, 1) for seconds in late]


async def _serve(port: int, faults_every: float, asked: Connection, logged: _Counted) -> None:
    scenario: Scenario = default_scenario()
    exo = SimulatedExo(scenario, SPEED, seed=1)
    settings = Settings.model_validate({"port": port})
    components = build(settings, exo)
    server = Server(server_config(components.asgi, "127.0.0.1", port, settings), "", components.shut_down)
    serving = asyncio.create_task(server._serve())
    troubling = asyncio.create_task(_trouble(exo, scenario, faults_every))
    stalls = _Stalls()
    watching = asyncio.create_task(stalls.watch())
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def answer() -> None:
        if not asked.recv():
            ended.set()
            return
        longest = stalls.take()
        gc.collect()
        asked.send({**_holding(components, server, logged), "longest stalls ms": longest})
        stalls.take()

    loop.add_reader(asked.fileno(), answer)
    await ended.wait()
    loop.remove_reader(asked.fileno())
    troubling.cancel()
    watching.cancel()
    server.should_exit = True
    await serving
    # This task, and what was left behind.
    asked.send([task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()])


def _holding(components: Components, server: Server, logged: _Counted) -> dict[str, Any]:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        **{name: round(int(status[line].split()[0]) * 1024 / 1e6, 1) for name, line in _MEMORY.items()},
        "tasks": len(asyncio.all_tasks()),
        "connections": len(server.server_state.connections),
        "live queries": components.service.live.share_count,
        "operations": len(components.operations.all()),
        "logged faults": dict(logged.kinds),
    }


async def _trouble(exo: SimulatedExo, scenario: Scenario, every: float) -> None:
    dice = random.Random(2)
    names = [machine.name for machine in scenario.machines if machine.name != scenario.api]
    while True:
        await asyncio.sleep(every * dice.uniform(0.5, 1.5))
        if dice.random() < 0.3:
            name = dice.choice(names)
            exo.control.kill_node(name)
            await asyncio.sleep(every / 2)
            exo.control.revive_node(name)
        else:
            exo.control.inject(dice.choice(_FAULTS))
