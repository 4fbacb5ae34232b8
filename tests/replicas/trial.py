"""One trial: a swap, a fault of the leader at one of its steps, and what followed."""

import asyncio
import signal
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx

from exo_graphql.simulator import parse_fault
from tests.support.replicas import Exo, Message, Replica, exo, now, replicas
from tests.support.running import until
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, B

FAULTS = ("kill", "stop", "cut", "silence", "end")
"""The leader is killed, stopped (SIGSTOP), loses its connections to the database or hears nothing more on them, or is
ended as for an upgrade (SIGTERM)."""
RESUMING = "Resuming operation"
"""Logged by a server that goes on with it."""
RELAY = "relay"
"""The leader is stopped, the one that has taken over is killed soon after, and the first one continued."""
STEPS = ("download", "drain", "unload", "memory", "place", "load", "remove", "restore")
BESIDE_STEPS = ("place", "load", "drain", "unload", "memory")
"""Of a swap for which old and new fit together."""
SWAP = """mutation ($unload: [String!]!, $load: [String!]!) {
  swapModels(unload: $unload, load: $load) { operation { id } error { code message } }
}"""
EVENTS = "{ events(last: 100) { id at kind message } }"
HEAD = """| step | fault | s until led/went on | ended | s to the end | created/deleted | s without a model | seen |
| --- | --- | --- | --- | --- | --- | --- | --- |"""
_RANK = {"PENDING": 0, "RUNNING": 1, "SUCCEEDED": 2, "SKIPPED": 2, "FAILED": 2}
_ENDED = {"SUCCEEDED", "FAILED", "ROLLED_BACK", "CANCELLED"}


@dataclass
class Outcome:
    """What followed."""

    step: str
    fault: str
    taken_over: float | None
    """Seconds until another server led; None: none did."""
    resumed: float | None
    """Seconds until it went on with the operation."""
    state: str
    seconds: float
    """From the fault to the end of the operation, as the last living server showed it."""
    creates: int
    deletes: int
    gap: float
    """Seconds in which no model was ready."""
    problems: list[str] = field(default_factory=list)

    def row(self) -> str:
        """As a line of a table."""
        over = "/".join("-" if each is None else f"{each:.1f}" for each in (self.taken_over, self.resumed))
        seen = "; ".join(self.problems) or "nothing odd"
        commands = f"{self.creates}/{self.deletes}"
        times = f"{over} | {self.state} | {self.seconds:.1f} | {commands} | {self.gap:.1f}"
        return f"| {self.step} | {self.fault} | {times} | {seen} |"


@dataclass
class Trial:
    """`beside`: old and new model fit together, so that there is always one."""

    step: str
    fault: str
    beside: bool = False
    count: int = 2
    speed: float = 1.0
    arguments: tuple[str, ...] = ()
    within: float = 8.0
    """Seconds within which another server has to lead."""
    outage: float = 10.0
    """Seconds that the leader is stopped or without its database."""
    command_latency: float = 0.0
    """Seconds that exo takes for each command: those of the former leader may arrive after it is gone."""
    servers: list[Replica] = field(default_factory=list)

    async def run(self, folder: Path, database: str) -> Outcome:
        """Raises `TimeoutError` where it never ends."""
        old, new = (A, B) if self.beside else (HALF, OTHER_HALF)
        async with AsyncExitStack() as stack:
            cluster = await stack.enter_async_context(exo(self.speed))
            if self.step in ("remove", "restore"):
                cluster.sim.control.inject(parse_fault(f"load-fails:{new}"))
            assert cluster.sim.control.place(old) is not None
            servers = await stack.enter_async_context(
                replicas(folder, cluster.url, database, self.count, *self.arguments)
            )
            self.servers = servers
            cluster.sim.control.command_latency = self.command_latency
            first = servers[0]
            for each in servers:
                await each.until(lambda message: message.phase(old) == "READY")
            if self.step == "drain":
                stack.callback(asyncio.create_task(_chat(cluster, old)).cancel)
                await asyncio.sleep(0.3)
            # Through the last one: a follower passes it on.
            answer = (await servers[-1].ask(SWAP, unload=[old], load=[new]))["swapModels"]
            assert answer["error"] is None, answer
            id_ = answer["operation"]["id"]
            await first.until(lambda message: _has_begun(message, id_, self.step))
            faulted_at = now()
            await self._strike(first)
            outcome = await self._follow(cluster, servers, id_, faulted_at)
            self._judge(outcome, cluster, servers, id_, old, new)
            return outcome

    async def _strike(self, server: Replica) -> None:
        match self.fault:
            case "kill":
                server.signal(signal.SIGKILL)
            case "end":
                server.signal(signal.SIGTERM)
            case "stop" | "relay":
                server.signal(signal.SIGSTOP)
            case "cut":
                server.database.cut()
            case "silence":
                server.database.silence()

    async def _mend(self, server: Replica) -> None:
        await asyncio.sleep(self.outage)
        server.signal(signal.SIGCONT)
        server.database.release()

    async def _follow(self, cluster: Exo, servers: list[Replica], id_: str, faulted_at: float) -> Outcome:
        mending = asyncio.create_task(self._mend(servers[0]))
        others, taken_over = servers[1:], None
        async with asyncio.timeout(30):
            while taken_over is None:
                roles = [await each.role() for each in others]
                if "leader" in roles:
                    taken_over = now() - faulted_at
                await asyncio.sleep(0.05)
        if self.fault == RELAY:
            await until(lambda: any(each.logged(RESUMING) for each in others), 10)
            await asyncio.sleep(1.0)
            (second,) = (each for each in others if each.logged(RESUMING))
            second.signal(signal.SIGKILL)
            others = [each for each in others if each is not second]
        if self.fault not in ("kill", "end"):
            await mending
        mending.cancel()
        living = {"kill": others, "end": others, RELAY: [servers[0], *others]}.get(self.fault, servers)
        ended = [await each.until(lambda message: _state(message, id_) in _ENDED, 90) for each in living]
        seconds = max(message.at for message in ended) - faulted_at
        await asyncio.sleep(3.0)
        for each in living:
            assert each.last is not None
        states = {_state(each.last, id_) for each in living if each.last is not None}
        commands = cluster.recorder.commands
        resumed = [at for each in servers[1:] if (at := each.logged(RESUMING)) is not None]
        outcome = Outcome(
            self.step,
            self.fault,
            taken_over,
            min(resumed) - faulted_at if resumed else None,
            "/".join(sorted(map(str, states))),
            seconds,
            sum(command.action == "create" for command in commands),
            sum(command.action == "delete" for command in commands),
            cluster.gaps(faulted_at),
        )
        final = {
            str(sorted((m["id"], m["status"]["phase"], m["status"]["changedAt"]) for m in each.models))
            for each in living
        }
        if len(final) != 1:
            outcome.problems.append(f"they end with different views: {final}")
        events = {str((await each.ask(EVENTS))["events"]) for each in living}
        if len(events) != 1:
            outcome.problems.append(f"they list different events: {events}")
        return outcome

    def _judge(self, outcome: Outcome, cluster: Exo, servers: list[Replica], id_: str, old: str, new: str) -> None:
        problems = outcome.problems
        undone = self.step in ("remove", "restore")
        expected = "ROLLED_BACK" if undone else "SUCCEEDED"
        if undone and self.beside:
            expected = "FAILED"
        if outcome.state != expected:
            problems.append(f"ended as {outcome.state}, not {expected}")
        if outcome.taken_over is None or outcome.taken_over > self.within:
            problems.append(f"taken over after {outcome.taken_over}")
        if outcome.resumed is None or outcome.resumed > self.within:
            problems.append(f"resumed after {outcome.resumed}")
        ready = {model for model, _ in cluster.ready[-1][1]}
        if ready != {old if undone else new}:
            problems.append(f"ready in the end: {ready}")
        if len(cluster.creations(new)) > 1:
            problems.append(f"{len(cluster.creations(new))} instances of {new}")
        if len(cluster.creations(old)) > 1 + undone:
            problems.append(f"{len(cluster.creations(old))} instances of {old}")
        if len(cluster.sim._simulation.instances.all) != 1:
            problems.append(f"{len(cluster.sim._simulation.instances.all)} instances in the end")
        if self.beside and outcome.gap > 0:
            problems.append(f"no model for {outcome.gap:.2f} s")
        for server in servers:
            problems += [
                f"{server.name}: {problem}" for problem in _seen(server.messages, id_, old, new, undone=undone)
            ]
            problems += [f"{server.name}: {error}" for error in server.errors]
            problems += [
                f"{server.name} logs: {line}" for line in server.log if "Traceback" in line or " ERROR " in line
            ]


def _seen(messages: list[Message], id_: str, old: str, new: str, *, undone: bool) -> Iterable[str]:
    """What a subscriber was told that did not happen."""
    for before, after in pairwise(messages):
        was, is_ = before.operation(id_), after.operation(id_)
        if was is not None and is_ is None:
            yield "the operation vanished"
        if was is None or is_ is None:
            continue
        if was["state"] in _ENDED and is_["state"] != was["state"]:
            yield f"{was['state']} became {is_['state']}"
        known = {step["name"]: step["state"] for step in was["steps"]}
        for step in is_["steps"]:
            if step["name"] in known and _RANK[step["state"]] < _RANK[known[step["name"]]]:
                yield f"step {step['name']} went from {known[step['name']]} to {step['state']}"
            known.pop(step["name"], None)
        if known:
            yield f"steps {set(known)} vanished"
    for message in messages:
        if not message.cluster["connected"]:
            yield "exo seemed not to answer"
        if message.cluster["stale"]:
            yield "the state seemed old"
        odd = {m["status"]["phase"] for m in message.cluster["models"]} & {"UNREACHABLE", "LOST", "FAILED"}
        if odd and not undone:
            yield f"phases {odd}"
    for model, order in ((old, _LEAVES), (new, _COMES)):
        if undone:
            continue
        phases = [order.index(p) for p in (message.phase(model) for message in messages) if p in order]
        if phases != sorted(phases):
            names = [order[each] for each, before in zip(phases, [-1, *phases], strict=False) if each != before]
            yield f"{model} went {' '.join(names)}"


_COMES = ["NOT_LOADED", "WAITING", "DOWNLOADING", "CONNECTING", "LOADING", "WARMING_UP", "READY"]
_LEAVES = ["READY", "UNLOADING", "NOT_LOADED"]


def _state(message: Message | None, id_: str) -> str | None:
    operation = None if message is None else message.operation(id_)
    return None if operation is None else operation["state"]


def _has_begun(message: Message, id_: str, step: str) -> bool:
    operation = message.operation(id_)
    return operation is not None and any(
        each["name"] == step and each["state"] != "PENDING" for each in operation["steps"]
    )


async def _chat(cluster: Exo, model: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 400}
    async with httpx.AsyncClient(timeout=120, trust_env=False) as client:
        await client.post(f"{cluster.url}/v1/chat/completions", json=body)
