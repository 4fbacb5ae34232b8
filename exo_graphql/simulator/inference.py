"""Chats: tasks that come, keep runners busy for a while, and go."""

from collections.abc import Callable
from dataclasses import dataclass

from exo_graphql.simulator.cards import Document
from exo_graphql.simulator.clock import Process, Running
from exo_graphql.simulator.cluster import SimulatedCluster
from exo_graphql.simulator.instance import Instance
from exo_graphql.simulator.instances import Instances
from exo_graphql.simulator.life import PLAN_INTERVAL
from exo_graphql.simulator.scenario import Traffic

_QUESTIONS = (
    "Summarise the attached minutes of the board meeting in five points.",
    "Why does my unit test hang when it awaits a cancelled task?",
    "Draft a polite reply to the landlord about the broken boiler.",
    "Which of these three offers is cheapest over four years?",
    "Translate the following paragraph into Portuguese.",
)


@dataclass(slots=True, eq=False)
class Chat:
    """One inference command."""

    command_id: str
    params: Document
    seconds: float
    done: Callable[[str | None], None]
    """Called once: with None when answered, else with why not."""
    task_id: str | None = None
    instance: Instance | None = None
    """The one that it was sent to; with the task None before that."""
    process: Running | None = None


class Inference:
    """Hands chats to instances and lets them take their time."""

    def __init__(self, cluster: SimulatedCluster, instances: Instances) -> None:
        self._cluster = cluster
        self._instances = instances
        self._chats: dict[str, Chat] = {}
        """Those that have not ended, by command id."""
        self._of_traffic: set[str] = set()
        """The command ids of those of them that `traffic` has sent, through this node's API."""
        instances.on_end.append(self._instance_ended)

    def submit(self, params: Document, seconds: float, done: Callable[[str | None], None]) -> str:
        """Send a chat of `seconds` of work; the command id. An instance that is not ready lets it wait."""
        chat = Chat(self._cluster.new_id(), params, seconds, done)
        self._chats[chat.command_id] = chat
        chat.process = self._cluster.clock.spawn(self._run(chat), 0.05)
        return chat.command_id

    def cancel(self, command_id: str) -> None:
        """End a chat before its time."""
        chat = self._chats.get(command_id)
        if chat is not None:
            if chat.instance is not None and chat.task_id is not None:
                for runner in chat.instance.runners:
                    self._cluster.add_task(
                        "CancelTask",
                        chat.instance.id,
                        "Complete",
                        cancelledTaskId=chat.task_id,
                        runnerId=runner.id,
                    )
            self._finish(chat, "cancelled")

    def traffic(self, source: Traffic) -> Process:
        """Chats from other people, forever; none while the model is not ready."""
        cluster = self._cluster
        while True:
            yield cluster.rng.expovariate(1 / source.every) + max(0.0, cluster.clock.lag - source.every)
            if any(
                one.phase == "ready" and one.card.model_id == source.model_id for one in self._instances.all.values()
            ):
                question = cluster.rng.choice(_QUESTIONS)
                params = text_params(source.model_id, [{"role": "user", "content": question}], max_tokens=2048)
                seconds = source.seconds * cluster.rng.uniform(0.4, 1.6)
                self._of_traffic.add(self.submit(params, seconds, lambda _: None))

    def is_of_traffic(self, command_id: str) -> bool:
        """Whether `traffic` has sent it, and it has not ended."""
        return command_id in self._of_traffic

    def _run(self, chat: Chat) -> Process:
        cluster = self._cluster
        fitting = [one for one in self._instances.all.values() if one.card.model_id == chat.params["model"]]
        if not fitting:
            self._finish(chat, f"No instance found for model {chat.params['model']}")
            return
        load = {one.id: sum(other.instance is one for other in self._chats.values()) for one in fitting}
        instance = chat.instance = min(fitting, key=lambda one: load[one.id])
        chat.task_id = cluster.add_task(
            "TextGeneration",
            instance.id,
            commandId=chat.command_id,
            taskParams=chat.params,
            errorType=None,
            errorMessage=None,
        )
        while instance.phase != "ready":
            yield PLAN_INTERVAL
        cluster.set_task(chat.task_id, "Running")
        instance.serving.add(chat)
        for runner in instance.runners:
            runner.node.serving.add(chat)
            cluster.set_runner(runner.id, "RunnerRunning")
        yield chat.seconds
        # On a dead node nothing ever finishes.
        while instance.phase != "ready":
            yield 10 * PLAN_INTERVAL
        self._finish(chat, None)

    def _finish(self, chat: Chat, problem: str | None) -> None:
        del self._chats[chat.command_id]
        self._of_traffic.discard(chat.command_id)
        if chat.process is not None:
            chat.process.cancel()
        if chat.task_id is not None:
            self._cluster.state.tasks.pop(chat.task_id, None)
            self._cluster.event()
        self._leave(chat)
        chat.done(problem)

    def _leave(self, chat: Chat) -> None:
        instance = chat.instance
        if instance is None or chat not in instance.serving:
            return
        instance.serving.discard(chat)
        for runner in instance.runners:
            runner.node.serving.discard(chat)
            if not instance.serving and not instance.deleted and instance.phase == "ready":
                self._cluster.set_runner(runner.id, "RunnerReady", prefillServerPort=None)

    def _instance_ended(self, instance: Instance) -> None:
        for chat in [one for one in self._chats.values() if one.instance is instance]:
            # The task itself stays, Cancelled: exo only removes those that finish.
            del self._chats[chat.command_id]
            if chat.process is not None:
                chat.process.cancel()
            self._leave(chat)
            chat.done("Runner shutdown before completing command (exitcode=None)")


def text_params(model_id: str, messages: list[Document], max_tokens: int | None) -> Document:
    """A text task's `taskParams`, with the prompt in full as exo keeps it (exo `TextGenerationTaskParams`)."""
    system = [one["content"] for one in messages if one["role"] == "system"]
    return {
        "model": model_id,
        "input": [one for one in messages if one["role"] != "system"],
        "instructions": "\n".join(system) if system else None,
        "max_output_tokens": max_tokens,
        "temperature": 0.7,
        "top_p": None,
        "stream": False,
        "tools": None,
        "bench": False,
        "use_prefix_cache": False,
        "top_k": None,
        "stop": None,
        "seed": None,
        "chat_template_messages": messages,
        "reasoning_effort": None,
        "enable_thinking": None,
        "logprobs": False,
        "top_logprobs": None,
        "min_p": None,
        "repetition_penalty": None,
        "repetition_context_size": None,
        "presence_penalty": None,
        "frequency_penalty": None,
        "images": [],
        "image_hashes": {},
        "prefill_endpoint": None,
    }
