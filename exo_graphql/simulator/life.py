"""The life of an instance: from the document to its runners, through load, failure and retry, to the end.

The stages and their times are those measured on a running exo (exo/API.md, "Life of an instance"), the retry rule is
exo's (`worker/main.py`, `utils/keyed_backoff.py`): the second attempt begins 1 s after the first one began (or once it
has failed, if that takes longer), the third 2 s after the second, then 4 and 8; 10 s after the fifth the instance is
deleted.
"""

from collections.abc import Callable, Generator

from exo_graphql.simulator.cards import Document
from exo_graphql.simulator.clock import Process
from exo_graphql.simulator.cluster import SimulatedCluster
from exo_graphql.simulator.downloads import Downloads, fault_names
from exo_graphql.simulator.faults import Faults
from exo_graphql.simulator.instance import Instance, Runner

ATTEMPTS = 5
"""exo gives up after this many."""
PLAN_INTERVAL = 0.1
"""Seconds between two planning rounds of a worker."""
KILLED = "Terminated (signal=9 (Killed))"
_TRACEBACK = """Terminated (exitcode=1
Runner error: ValueError: Received parameters not in model: lm_head.biases, lm_head.scales.
Traceback (most recent call last):
  File "/opt/exo/runner.py", line 61, in main
    load_layers(shard)
  File "/opt/exo/loader.py", line 118, in load_layers
    model.load_weights(weights)
ValueError: Received parameters not in model: lm_head.biases, lm_head.scales.
)"""


class Life:
    """The processes of instances. `afterwards` starts one that outlives its instance; `give_up` deletes an instance."""

    def __init__(
        self,
        cluster: SimulatedCluster,
        downloads: Downloads,
        faults: Faults,
        afterwards: Callable[[Process], None],
        give_up: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._downloads = downloads
        self._faults = faults
        self._afterwards = afterwards
        self._give_up = give_up

    def live(self, instance: Instance) -> Process:
        for attempt in range(1, ATTEMPTS + 1):
            yield PLAN_INTERVAL
            began = self._cluster.clock.now
            instance.phase = "starting"
            message = yield from self._attempt(instance)
            if message is None or instance.deleted:
                return
            yield max(PLAN_INTERVAL, began + min(10.0, 0.5 * 2**attempt) - self._cluster.clock.now)
        self._give_up(instance.id)

    def _attempt(self, instance: Instance) -> Generator[float, None, str | None]:
        """One attempt to become ready: None when it is (or when the instance was deleted), else what failed."""
        yield from self._start(instance)
        if instance.phase == "stuck":
            return None
        yield from self._await_weights(instance)
        message = yield from self._load(instance)
        if message is not None:
            self._afterwards(self.after_failure(instance))
            return message
        if instance.deleted:
            self._afterwards(self.shut_down(instance))
            return None
        yield from self._warm_up(instance)
        return None

    def _start(self, instance: Instance) -> Process:
        cluster = self._cluster
        living = [runner for runner in instance.runners if runner.node.alive]
        created = [self.task("CreateRunner", instance, runner) for runner in living]
        yield PLAN_INTERVAL
        for task in created:
            cluster.set_task(task, "Complete")
        for runner in living:
            self._want_weights(instance, runner)
        starts = sorted(((cluster.rng.uniform(1.1, 1.8), runner) for runner in living), key=lambda pair: pair[0])
        waited = 0.0
        for at, runner in starts:
            yield at - waited
            waited = at
            cluster.set_runner(runner.id, "RunnerIdle")
        if len(living) < len(instance.runners):
            # Placed on a dead node that the cluster has not removed yet: the others wait until it has.
            instance.phase = "stuck"
            return
        if len(instance.runners) == 1:
            yield 0.05
            return
        tasks = [self.task("ConnectToGroup", instance, runner, "Running") for runner in instance.runners]
        *accepting, connecting = sorted(instance.runners, key=lambda runner: runner.rank)
        yield 0.05
        for runner in accepting:
            cluster.set_runner(runner.id, "RunnerConnecting")
        yield PLAN_INTERVAL
        cluster.set_runner(connecting.id, "RunnerConnecting")
        yield 0.5
        for runner, task in zip(instance.runners, tasks, strict=True):
            cluster.set_runner(runner.id, "RunnerConnected")
            cluster.set_task(task, "Complete")
        yield PLAN_INTERVAL

    def _want_weights(self, instance: Instance, runner: Runner) -> None:
        if self._downloads.status(runner.node, instance.card) != "DownloadCompleted":
            self.task("DownloadModel", instance, runner, "Running")
            self._downloads.start(runner.node, instance.card)

    def _await_weights(self, instance: Instance) -> Process:
        asked = dict.fromkeys(instance.runners, 1)
        last = dict.fromkeys(instance.runners, self._cluster.clock.now)
        while True:
            statuses = {runner: self._downloads.status(runner.node, instance.card) for runner in instance.runners}
            if all(status == "DownloadCompleted" for status in statuses.values()):
                return
            for runner, status in statuses.items():
                # Only an idle runner asks again: one that has connected to its group waits forever (exo
                # `worker/plan.py`, `_model_needs_download`).
                if status == "DownloadPending" and len(instance.runners) == 1:
                    now = self._cluster.clock.now
                    if now - last[runner] >= min(10.0, 0.5 * 2 ** asked[runner]):
                        asked[runner] += 1
                        last[runner] = now
                        self._want_weights(instance, runner)
            yield 2 * PLAN_INTERVAL

    def _load(self, instance: Instance) -> Generator[float, None, str | None]:
        cluster = self._cluster
        instance.phase = "loading"
        tasks = [self.task("LoadModel", instance, runner, "Running") for runner in instance.runners]
        steps = sorted(
            (
                (done * runner.layer_seconds, done, runner)
                for runner in instance.runners
                for done in range(runner.layers + 1)
            ),
            key=lambda step: step[:2],
        )
        for runner in instance.runners:
            runner.node.loading.add(runner)
        waited = 0.0
        for at, done, runner in steps:
            if at > waited:
                yield at - waited
                waited = at
            grown = runner.resident * done // runner.layers
            if grown - runner.node.held.get(runner, 0) > runner.node.available:
                return self.fail(instance, runner, KILLED)
            runner.node.held[runner] = grown
            if done == runner.layers:
                runner.node.loading.discard(runner)
                cluster.set_runner(runner.id, "RunnerLoaded")
            elif done == runner.layers // 2 and self._faults.strikes("load-fails", fault_names(instance.card)):
                return self.fail(instance, runner, _TRACEBACK)
            else:
                cluster.set_runner(runner.id, "RunnerLoading", layersLoaded=done, totalLayers=runner.layers)
        for task in tasks:
            cluster.set_task(task, "Complete")
        instance.phase = "loaded"
        return None

    def _warm_up(self, instance: Instance) -> Process:
        cluster = self._cluster
        instance.phase = "warming"
        tasks = [self.task("StartWarmup", instance, runner, "Running") for runner in instance.runners]
        yield PLAN_INTERVAL
        # Rank 0 begins when all others have (exo `worker/plan.py`, `_ready_to_warmup`).
        for runner in sorted(instance.runners, key=lambda runner: -runner.rank):
            if runner.rank == 0 and len(instance.runners) > 1:
                yield PLAN_INTERVAL
            cluster.set_runner(runner.id, "RunnerWarmingUp")
        yield cluster.rng.uniform(1.0, 1.6)
        for runner, task in zip(instance.runners, tasks, strict=True):
            cluster.set_runner(runner.id, "RunnerReady", prefillServerPort=None)
            cluster.set_task(task, "Complete")
        instance.phase = "ready"

    def fail(self, instance: Instance, failed: Runner, message: str) -> str:
        instance.phase = "failed"
        self._cluster.set_runner(failed.id, "RunnerFailed", errorMessage=message, diagnostics=[])
        return message

    def after_failure(self, instance: Instance) -> Process:
        """One runner failed: its process is gone, and its node and the others shut theirs down."""
        yield PLAN_INTERVAL
        for runner in instance.runners:
            if not instance.deleted:
                self.task("Shutdown", instance, runner)
            self.release(runner)

    def shut_down(self, instance: Instance) -> Process:
        cluster = self._cluster
        yield PLAN_INTERVAL
        tasks = [self.task("Shutdown", instance, runner) for runner in instance.runners if runner.node.alive]
        yield PLAN_INTERVAL
        for task in tasks:
            cluster.set_task(task, "Running")
        # Seen in the recordings: the only runner of an instance says that it is shutting down and reports no more;
        # members of a group do not even report that, and stay listed with their last status.
        # Created again by then, it keeps its old status until its new process reports.
        again = instance.id in cluster.state.instances
        if len(instance.runners) == 1 and instance.runners[0].id in cluster.state.runners and not again:
            cluster.set_runner(instance.runners[0].id, "RunnerShuttingDown")
        yield 0.3
        for runner in instance.runners:
            self.release(runner)

    def release(self, runner: Runner) -> None:
        runner.node.held.pop(runner, None)
        runner.node.loading.discard(runner)

    def task(self, kind: str, instance: Instance, runner: Runner, status: str = "Pending") -> str:
        fields: Document = {}
        if kind == "CreateRunner":
            fields["boundInstance"] = {
                "instance": instance.document,
                "boundRunnerId": runner.id,
                "boundNodeId": runner.node.id,
            }
        elif kind == "DownloadModel":
            body = next(iter(instance.document.values()))
            fields["shardMetadata"] = body["shardAssignments"]["runnerToShard"][runner.id]
        elif kind == "Shutdown":
            fields["runnerId"] = runner.id
        return self._cluster.add_task(kind, instance.id, status, **fields)
