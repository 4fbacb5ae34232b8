"""What is really the case in the simulated exo, sampled: which instances are listed, and which of them serve.

Nothing of the product is used, neither its parser nor its rules, except for one public figure: how long a dead node may
remain unnoticed.
"""

import asyncio
from collections.abc import Callable, Sequence

from exo_graphql.simulator import SimulatedExo
from exo_graphql.simulator.instance import Instance
from tests.trials.evidence import Command, InstanceRecord, Interval

NOTICE = 13.0
"""Seconds after which no instance on a dead node may be called ready: it is unreachable after 10 (the rules of
readiness, number 0), and a read or two."""
SAMPLE = 0.05
"""Seconds between two samples."""


class GroundTruth:
    """Records of all instances of one simulated exo. `commands` are those that it has received so far."""

    def __init__(self, sim: SimulatedExo, time: Callable[[], float], commands: Sequence[Command]) -> None:
        self._simulation = sim._simulation
        self._time = time
        self._commands = commands
        self.records: dict[str, InstanceRecord] = {}
        self.initial = True
        """While True, instances that appear count as there before the operation."""
        self.on_event: Callable[[str], None] = lambda _: None
        self._phases: dict[str, str] = {}
        self._dead_since: dict[str, float] = {}

    async def watch(self) -> None:
        """Samples until it is cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(SAMPLE)

    def sample(self) -> None:
        """Notes what is true at this moment."""
        self._simulation.clock.run_due()
        now = self._time()
        state, instances = self._simulation.cluster.state, self._simulation.instances.all
        for node in self._simulation.cluster.nodes.values():
            if not node.alive:
                self._dead_since.setdefault(node.id, now)
        for instance_id, document in state.instances.items():
            if instance_id not in self.records:
                body = next(iter(document.values()))
                owner = self._owner(instance_id)
                record = InstanceRecord(instance_id, body["shardAssignments"]["modelId"], owner, Interval(now))
                self.records[instance_id] = record
                self.on_event(f"exo lists {instance_id[:8]} of {record.model} ({owner})")
        for record in self.records.values():
            if record.listed.end is not None:
                if record.instance_id not in state.instances:
                    continue
                # exo after a restart knows no ids: an instance may be created again under its old id.
                record.listed.end = None
                self.on_event(f"exo lists {record.instance_id[:8]} of {record.model} again")
            if record.instance_id not in state.instances:
                record.listed.end = now
                _close(record.served, now)
                _close(record.seen, now)
                self.on_event(f"exo lists {record.instance_id[:8]} of {record.model} no more")
                continue
            self._serving(record, instances.get(record.instance_id), now)

    def _serving(self, record: InstanceRecord, instance: Instance | None, now: float) -> None:
        phase = "gone" if instance is None else instance.phase
        nodes = () if instance is None else {runner.node for runner in instance.runners}
        dead = [self._dead_since[node.id] for node in (*nodes, self._simulation.cluster.master) if not node.alive]
        serving = phase == "ready" and not dead
        # Between two samples it may have become ready and its node have died: then exo's state shows it ready.
        was_seen = (bool(record.seen) and record.seen[-1].end is None) or self._shown_ready(instance)
        _mark(record.served, now, on=serving)
        # An instance that served, and whose node or master has died, is not known to be lost at once.
        _mark(record.seen, now, on=serving or (bool(dead) and was_seen and now - min(dead) < NOTICE))
        if (text := f"{phase}{' (a node of it or the master is dead)' if dead else ''}") != self._phases.get(
            record.instance_id
        ):
            self._phases[record.instance_id] = text
            self.on_event(f"{record.instance_id[:8]} of {record.model} is {text}")
            if phase == "failed" and instance is not None:
                record.failures.append(now)
                runners = self._simulation.cluster.state.runners
                text = str([runners.get(runner.id) for runner in instance.runners])
                record.killed_for_memory |= "Killed" in text

    def _shown_ready(self, instance: Instance | None) -> bool:
        runners = self._simulation.cluster.state.runners
        return instance is not None and all(
            {"RunnerReady", "RunnerRunning"} & runners.get(runner.id, {}).keys() for runner in instance.runners
        )

    def _owner(self, instance_id: str) -> str:
        if self.initial:
            return "initial"
        from_server = any(
            c.from_server and c.action == "create" and c.instance_id == instance_id for c in self._commands
        )
        return "server" if from_server else "other"

    def free(self) -> int:
        """The most bytes that a model on one node may have: free, and not to be taken by what is still loading."""
        world, instances = self._simulation.cluster, self._simulation.instances.all
        free = {node.id: node.available for node in world.nodes.values() if node.alive and node.id in world.state.nodes}
        for instance in instances.values():
            for runner in instance.runners:
                if runner.node.id in free:
                    free[runner.node.id] -= max(0, runner.resident - runner.node.held.get(runner, 0))
        return max(free.values(), default=0)

    def settled(self) -> bool:
        """Whether every running node is a member and has reported its memory."""
        world = self._simulation.cluster
        running = [node for node in world.nodes.values() if node.alive]
        return world.api.alive and all(
            node.id in world.state.nodes and node.id in world.state.memory for node in running
        )


def _mark(intervals: list[Interval], now: float, *, on: bool) -> None:
    if on and (not intervals or intervals[-1].end is not None):
        intervals.append(Interval(now))
    elif not on:
        _close(intervals, now)


def _close(intervals: list[Interval], now: float) -> None:
    if intervals and intervals[-1].end is None:
        intervals[-1].end = now
