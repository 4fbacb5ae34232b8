"""One trial in this process, in virtual time: minutes of the simulation take a second or two."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from unittest.mock import patch

from exo_graphql.exo.poller import Poller
from exo_graphql.operations import Operation, OperationError, Operations
from exo_graphql.simulator import SimulatedExo
from exo_graphql.simulator import clock as demo_clock
from tests.support.polled_cluster import loop_moment
from tests.support.simulated_cluster import operations
from tests.support.threaded_time import InlineTimeLoop
from tests.trials.acts import Actor
from tests.trials.evidence import Evidence, PerformedAct, Probe
from tests.trials.ground_truth import GroundTruth
from tests.trials.models import PROBES, make_scenario
from tests.trials.recorder import Recorder, ServersTransport, other_client
from tests.trials.scenario import Act, Scenario

STUCK_AFTER = 900.0
"""Seconds after which an operation that has not ended never will."""
WATCHED_AFTER = 15.0
"""Seconds that exo is watched after the end: the operation may not do anything any more."""
PROBE_PATIENCE = 60.0
"""Seconds within which a load that fits must be accepted, once every running node has returned."""


class Server:
    """The server under test: killed and started again, it keeps only its journal."""

    def __init__(self, recorder: Recorder, journal: Path | None, changed: Callable[[], None]) -> None:
        self._recorder = recorder
        self._journal = journal
        self._changed = changed
        self._transport = ServersTransport(recorder)
        self._poller: Poller | None = None
        self._starting: asyncio.Task[None] | None = None
        self._opened: AbstractAsyncContextManager[Operations] | None = None
        self.ops: Operations | None = None
        self.operation_id: str | None = None

    async def start(self) -> None:
        """Starts it, at first and after a kill."""
        self._transport = ServersTransport(self._recorder)
        self._poller = Poller(["http://exo"], transport=self._transport, now=loop_moment)
        await self._poller.__aenter__()
        self._opened = operations(self._poller, self._journal)
        self.ops = await self._opened.__aenter__()
        self.ops.listen(self._changed)
        self._changed()

    async def kill(self, seconds: float) -> bool:
        """Ends it at once, with requests under way; starts it again after `seconds`."""
        if self.ops is None:
            return False
        await self.stop(killed=True)
        self._starting = asyncio.create_task(self._start_after(seconds), name="the server starts again")
        return True

    async def _start_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.start()

    async def stop(self, *, killed: bool = False) -> None:
        """Stops it properly, or, with `killed`, without sending what is under way."""
        self._transport.killed = killed
        opened, poller = self._opened, self._poller
        self.ops, self._opened, self._poller = None, None, None
        if self._starting is not None:
            await self._starting
            self._starting = None
        for part in (opened, poller):
            if part is not None:
                with suppress(asyncio.CancelledError):
                    await part.__aexit__(None, None, None)

    async def cancel(self) -> str:
        """Requests the cancellation of the operation."""
        if self.ops is None or self.operation_id is None:
            return ""
        answer = await self.ops.cancel(self.operation_id)
        return "accepted" if isinstance(answer, Operation) else answer.code

    def now(self) -> Operation | None:
        """The operation as the server knows it."""
        return None if self.ops is None or self.operation_id is None else self.ops.get(self.operation_id)


def run(scenario: Scenario) -> Evidence:
    """One trial from its beginning to its evidence."""
    rng = random.Random(f"ids {scenario.seed}")
    with (
        asyncio.Runner(loop_factory=InlineTimeLoop) as runner,
        # Ids that the server makes are the same each time.
        patch.object(uuid, "os", SimpleNamespace(urandom=rng.randbytes)),
    ):
        return runner.run(_trial(scenario))


async def _trial(scenario: Scenario) -> Evidence:
    loop = asyncio.get_running_loop()
    with (
        patch.object(demo_clock, "time", SimpleNamespace(monotonic=loop.time)),
        TemporaryDirectory(prefix="trial-") as directory,
    ):
        async with _Trial(scenario, Path(directory)).running() as trial:
            return await trial.conduct()


class _Trial:
    def __init__(self, scenario: Scenario, directory: Path) -> None:
        self._scenario = scenario
        self._evidence = Evidence(scenario)
        self._time = asyncio.get_running_loop().time
        self._sim = SimulatedExo(make_scenario(scenario.nodes), seed=scenario.seed)
        self._sim.control.latency = 0.01
        self._recorder = Recorder(self._sim, self._time)
        self._truth = GroundTruth(self._sim, self._time, self._recorder.commands)
        killed = any(act.kind == "server killed" for act in scenario.acts)
        self._server = Server(self._recorder, directory / "journal.db" if killed else None, self._changed)
        self._other_client = other_client(self._recorder)
        self._actor = Actor(scenario, self._sim, self._other_client, self._server, 1.0)
        self._step = ""
        self._begun: set[str] = set()
        self._updated = asyncio.Event()
        self._ended = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["_Trial"]:
        async with self._sim, self._other_client:
            watching = asyncio.create_task(self._truth.watch(), name="truth")
            try:
                yield self
            finally:
                await self._server.stop()
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching

    async def conduct(self) -> Evidence:
        await self._server.start()
        await self._load_given()
        await self._start_chats()
        self._truth.initial = False
        self._truth.on_event = self._recorder.on_event = self._note
        evidence, scenario = self._evidence, self._scenario
        evidence.began = self._time()
        acts = list(scenario.acts)
        while acts and acts[0].kind == "load fails":
            await self._perform(acts.pop(0))
        answer = await self._request()
        if isinstance(answer, OperationError):
            evidence.state, evidence.message = "REFUSED", answer.message
            evidence.ended = self._time()
        else:
            self._server.operation_id = answer.id
            self._changed()
            performing = asyncio.create_task(self._perform_all(acts), name="acts")
            await self._end()
            performing.cancel()
            with suppress(asyncio.CancelledError):
                await performing
        await asyncio.sleep(WATCHED_AFTER)
        self._truth.sample()
        evidence.watched_until = self._time()
        evidence.records = list(self._truth.records.values())
        evidence.reads, evidence.commands = list(self._recorder.reads), list(self._recorder.commands)
        if evidence.state not in ("STUCK", "FORGOTTEN"):
            evidence.probe = await self._probe()
        return evidence

    async def _load_given(self) -> None:
        for model in self._scenario.given:
            least = self._scenario.min_nodes
            if self._scenario.given_by_us and self._server.ops is not None:
                answer = await self._server.ops.load(model, least)
                assert isinstance(answer, Operation), answer
            else:
                await self._other_client.post("/place_instance", json={"model_id": model, "min_nodes": least})
            instances = self._sim._simulation.instances.all
            async with asyncio.timeout(60.0):
                while not any(one.card.model_id == model and one.phase == "ready" for one in instances.values()):  # noqa: ASYNC110  # the simulation has no event for it
                    await asyncio.sleep(0.1)
        # Nodes report their memory a little late.
        await asyncio.sleep(2.0)

    async def _start_chats(self) -> None:
        if self._scenario.busy:
            for model in self._scenario.unload:
                inference = self._sim._simulation.inference
                params = {"model": model, "input": [{"role": "user", "content": "?"}]}
                inference.submit(params, self._scenario.busy, lambda _: None)

    async def _request(self) -> Operation | OperationError:
        ops, s = self._server.ops, self._scenario
        assert ops is not None
        if s.kind == "LOAD":
            return await ops.load(s.load[0], s.min_nodes)
        if s.kind == "UNLOAD":
            return await ops.unload(s.unload[0], drain_seconds=s.drain_seconds)
        return await ops.swap(s.unload, s.load, s.min_nodes, drain_seconds=s.drain_seconds)

    # Acts

    async def _perform_all(self, acts: list[Act]) -> None:
        previous = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number, act in enumerate(acts):
                done = asyncio.Event()
                if not number:
                    previous.set()
                group.create_task(self._act(act, previous, done), name=f"act {act}")
                previous = done

    async def _act(self, act: Act, previous: asyncio.Event, done: asyncio.Event) -> None:
        if act.when.after_previous:
            await previous.wait()
        elif act.when.step is not None:
            while act.when.step not in self._begun:
                self._updated.clear()
                await self._updated.wait()
        await asyncio.sleep(act.when.seconds)
        await self._perform(act)
        done.set()

    async def _perform(self, act: Act) -> None:
        if self._ended.is_set():
            return
        at, step = self._time(), self._step
        self._note(f"ACT {act} (in {step or 'no step'})")
        # Recorded before it is performed: the operation may end at once.
        place = len(self._evidence.performed)
        self._evidence.performed.append(PerformedAct(act.kind, at, at, step))
        outcome = await self._actor.perform(act)
        if outcome is None:
            self._note(f"... {act.kind}: not possible")
            del self._evidence.performed[place]
            return
        seconds, note = outcome
        self._evidence.performed[place] = PerformedAct(act.kind, at, at + seconds, step, note)
        self._note(f"... {act.kind}: {note}")
        self._truth.sample()

    # The operation

    def _changed(self) -> None:
        operation = self._server.now()
        if operation is None:
            return
        under_way = [step.name for step in operation.steps if step.state.value == "RUNNING"]
        for name in (step.name for step in operation.steps if step.state.value not in ("PENDING", "SKIPPED")):
            self._begun.add(name.split()[0])
        step = under_way[0].split()[0] if under_way else self._step
        if step != self._step:
            self._step = step
            self._note(f"step {under_way[0]}: {operation.message}")
        if not operation.active and not self._ended.is_set():
            self._truth.sample()
            evidence = self._evidence
            evidence.state, evidence.message, evidence.ended = operation.state.value, operation.message, self._time()
            self._note(f"RESULT {evidence.state} {evidence.message}")
            self._ended.set()
        self._updated.set()

    async def _end(self) -> None:
        began = self._time()
        while not self._ended.is_set():
            self._updated.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(5.0):
                    await self._updated.wait()
            forgotten = self._server.ops is not None and self._server.now() is None
            if forgotten or self._time() - began > STUCK_AFTER:
                self._evidence.state = "FORGOTTEN" if forgotten else "STUCK"
                last = self._server.now()
                self._evidence.message = "" if last is None else last.message
                self._evidence.ended = self._time()
                self._note(f"RESULT {self._evidence.state} {self._evidence.message}")
                return

    async def _probe(self) -> Probe | None:
        """Whether a load that fits is accepted."""
        until = self._time() + PROBE_PATIENCE
        while not self._truth.settled():
            if self._time() > until:
                return None
            await asyncio.sleep(0.5)
        until = self._time() + PROBE_PATIENCE
        while True:
            fitting = [model for model, size in PROBES if size * 1.06 <= self._truth.free()]
            if not fitting:
                return None
            ops = self._server.ops
            answer = None if ops is None else await ops.load(fitting[-1])
            if isinstance(answer, Operation) and not answer.waiting_for:
                return Probe(fitting[-1], admitted=True, answer=answer.message)
            if isinstance(answer, Operation) and ops is not None:
                await ops.cancel(answer.id)
            if self._time() > until:
                return Probe(fitting[-1], admitted=False, answer=str(answer))
            await asyncio.sleep(2.0)

    def _note(self, text: str) -> None:
        self._evidence.timeline.append((self._time(), text))
