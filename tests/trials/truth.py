"""The simulated exo's own truth, sampled: which instances are listed, and which of them really serve.

Nothing of the product is used: neither its reading of the state nor its rules, but for the one figure that it
publishes: how long a dead node may go unnoticed.
"""

import asyncio
from collections.abc import Callable, Sequence

from exo_graphql.simulator import SimulatedExo
from exo_graphql.simulator.instance import Instance
from tests.trials.evidence import Command, Life, Spell

NOTICE = 13.0
"""Seconds after which nobody may call ready what runs on a dead node: it is unreachable after 10 (the rules of
readiness, number 0), and a read or two."""
SAMPLE = 0.05
"""Seconds between two looks."""


class Truth:
    """Lives of all instances of one simulated exo. `commands` are those that passed the wire so far."""

    def __init__(self, sim: SimulatedExo, time: Callable[[], float], commands: Sequence[Command]) -> None:
        self._simulation = sim._simulation
        self._time = time
        self._commands = commands
        self.lives: dict[str, Life] = {}
        self.initial = True
        """What is first seen while it holds was there before the operation."""
        self.news: Callable[[str], None] = lambda _: None
        self._phases: dict[str, str] = {}
        self._dead_since: dict[str, float] = {}

    async def watch(self) -> None:
        """Samples for ever."""
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
            if instance_id not in self.lives:
                body = next(iter(document.values()))
                owner = self._owner(instance_id)
                life = Life(instance_id, body["shardAssignments"]["modelId"], owner, Spell(now))
                self.lives[instance_id] = life
                self.news(f"exo lists {instance_id[:8]} of {life.model} ({owner})")
        for life in self.lives.values():
            if life.listed.end is not None:
                if life.instance_id not in state.instances:
                    continue
                # A session that began anew knows no ids: what was in it may be created again under its old ones.
                life.listed.end = None
                self.news(f"exo lists {life.instance_id[:8]} of {life.model} again")
            if life.instance_id not in state.instances:
                life.listed.end = now
                _close(life.served, now)
                _close(life.seen, now)
                self.news(f"exo lists {life.instance_id[:8]} of {life.model} no more")
                continue
            self._serving(life, instances.get(life.instance_id), now)

    def _serving(self, life: Life, instance: Instance | None, now: float) -> None:
        phase = "gone" if instance is None else instance.phase
        nodes = () if instance is None else {runner.node for runner in instance.runners}
        dead = [self._dead_since[node.id] for node in (*nodes, self._simulation.cluster.master) if not node.alive]
        serving = phase == "ready" and not dead
        # Between two samples it may have become ready and its node have died: then exo's state shows it ready.
        was_seen = (bool(life.seen) and life.seen[-1].end is None) or self._shown_ready(instance)
        _mark(life.served, now, on=serving)
        # An instance that served, and whose node or master has died, is not known to be lost at once.
        _mark(life.seen, now, on=serving or (bool(dead) and was_seen and now - min(dead) < NOTICE))
        if (told := f"{phase}{' (a node of it or the master is dead)' if dead else ''}") != self._phases.get(
            life.instance_id
        ):
            self._phases[life.instance_id] = told
            self.news(f"{life.instance_id[:8]} of {life.model} is {told}")
            if phase == "failed" and instance is not None:
                life.failures.append(now)
                runners = self._simulation.cluster.state.runners
                told = str([runners.get(runner.id) for runner in instance.runners])
                life.killed_for_memory |= "Killed" in told

    def _shown_ready(self, instance: Instance | None) -> bool:
        runners = self._simulation.cluster.state.runners
        return instance is not None and all(
            {"RunnerReady", "RunnerRunning"} & runners.get(runner.id, {}).keys() for runner in instance.runners
        )

    def _owner(self, instance_id: str) -> str:
        if self.initial:
            return "initial"
        ours = any(c.ours and c.verb == "create" and c.instance_id == instance_id for c in self._commands)
        return "ours" if ours else "somebody"

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
        """Whether every living node is a member and has reported."""
        world = self._simulation.cluster
        living = [node for node in world.nodes.values() if node.alive]
        return world.api.alive and all(
            node.id in world.state.nodes and node.id in world.state.memory for node in living
        )


def _mark(spells: list[Spell], now: float, *, on: bool) -> None:
    if on and (not spells or spells[-1].end is not None):
        spells.append(Spell(now))
    elif not on:
        _close(spells, now)


def _close(spells: list[Spell], now: float) -> None:
    if spells and spells[-1].end is None:
        spells[-1].end = now
