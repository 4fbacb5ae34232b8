"""Instances: the list of them, and what the commands of clients, dying nodes and new sessions do to it."""

from collections.abc import Callable

from exo_graphql.simulator.cards import Document
from exo_graphql.simulator.clock import Process, Running
from exo_graphql.simulator.cluster import Node, SimulatedCluster
from exo_graphql.simulator.downloads import Downloads
from exo_graphql.simulator.faults import Faults
from exo_graphql.simulator.instance import Instance, read_instance
from exo_graphql.simulator.life import KILLED, Life


class Instances:
    """All instances, and the processes that run them."""

    def __init__(self, cluster: SimulatedCluster, downloads: Downloads, faults: Faults) -> None:
        self._cluster = cluster
        self._downloads = downloads
        self._life = Life(cluster, downloads, faults, self._end, self.delete)
        self.all: dict[str, Instance] = {}
        """Those that exo lists, by id."""
        self._endings: list[Running] = []
        """Processes of instances that are no longer listed, until their memory is free."""
        self.on_end: list[Callable[[Instance], None]] = []
        """Called with an instance when it is deleted, or lost with its session."""

    def create(self, document: Document) -> None:
        """List the instance and start it on its nodes.

        The same id again replaces the document, no more. An instance on an unknown node never starts; the
        master soon deletes it.
        """
        body = next(iter(document.values()))
        self._cluster.state.instances[body["instanceId"]] = document
        self._cluster.event()
        if body["instanceId"] in self.all or not set(body["shardAssignments"]["nodeToRunner"]) <= set(
            self._cluster.nodes
        ):
            return
        instance = read_instance(document, self._cluster)
        self.all[instance.id] = instance
        instance.process = self._cluster.clock.spawn(self._life.live(instance))

    def create_ready(self, document: Document) -> None:
        """List an instance that has been ready for a while; for the start of a scenario."""
        instance = read_instance(document, self._cluster)
        self.all[instance.id] = instance
        self._cluster.state.instances[instance.id] = document
        for kind in ("CreateRunner", "LoadModel", "StartWarmup"):
            for runner in instance.runners:
                self._life.task(kind, instance, runner, "Complete")
        for runner in instance.runners:
            runner.node.held[runner] = runner.resident
            self._cluster.set_runner(runner.id, "RunnerReady", prefillServerPort=None)
        instance.phase = "ready"

    def delete(self, instance_id: str, *, by_command: bool = True) -> None:
        """Take the instance from the list at once; processes and memory follow.

        `by_command`: as exo's DeleteInstance does, also cancel every download that no instance needs.
        """
        cluster = self._cluster
        if cluster.state.instances.pop(instance_id, None) is not None:
            cluster.event()
        instance = self.all.pop(instance_id, None)
        if instance is None:
            return
        for task_id, task in list(cluster.state.tasks.items()):
            fields = next(iter(task.values()))
            if fields["instanceId"] == instance_id and fields["taskStatus"] in ("Pending", "Running"):
                cluster.set_task(task_id, "Cancelled")
        instance.deleted = True
        if by_command:
            needed = {(runner.node.id, one.card.model_id) for one in self.all.values() for runner in one.runners}
            self._downloads.cancel_unneeded(needed)
        # A runner that is loading ignores commands until it has loaded (exo/API.md).
        if instance.phase != "loading":
            if instance.process is not None:
                instance.process.cancel()
            # The processes of one that failed are gone: its runner is listed as failed for good (recording 50).
            if instance.phase != "failed":
                self._end(self._life.shut_down(instance))
        elif instance.process is not None:
            self._endings.append(instance.process)
        for callback in self.on_end:
            callback(instance)

    def lose_all(self) -> None:
        """A new session began: every worker starts with nothing, and nothing is placed again."""
        for instance in list(self.all.values()):
            del self.all[instance.id]
            instance.deleted = True
            if instance.process is not None:
                instance.process.cancel()
            for runner in instance.runners:
                self._life.release(runner)
            for callback in self.on_end:
                callback(instance)
        for ending in self._endings:
            ending.cancel()
        self._endings.clear()
        for node in self._cluster.nodes.values():
            node.held.clear()
            node.loading.clear()

    def crash(self, instance_id: str) -> bool:
        """A runner of an instance that is ready fails, and exo tries again; False if no such instance is ready."""
        instance = self.all.get(instance_id)
        if instance is None or instance.phase != "ready":
            return False
        self._life.fail(instance, instance.runners[0], KILLED)
        self._end(self._life.after_failure(instance))
        instance.process = self._cluster.clock.spawn(self._life.live(instance))
        return True

    def freeze(self, node: Node) -> None:
        """A node died: its instances stay as they are, statuses and all, until the master deletes them."""
        for instance in self.all.values():
            if any(runner.node is node for runner in instance.runners):
                if instance.process is not None:
                    instance.process.cancel()
                instance.phase = "stuck"

    def _end(self, process: Process) -> None:
        self._endings = [one for one in self._endings if not one.done]
        self._endings.append(self._cluster.clock.spawn(process))
