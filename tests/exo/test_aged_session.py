"""What exo never cleans up costs next to nothing to carry along: it is neither read nor compared anew."""

import pytest

from exo_graphql.cluster.state import State, Task, TaskStatus
from exo_graphql.exo import reader
from exo_graphql.exo.reader import parse_state
from exo_graphql.simulator import SimulatedExo, tiny_scenario


@pytest.fixture(scope="module")
def exo() -> SimulatedExo:
    """Half an hour of loads and unloads."""
    exo = SimulatedExo(tiny_scenario(), seed=3)
    for _ in range(150):
        instance = exo.control.place(exo.control.cards[0])
        assert instance is not None
        exo.control.advance(15)
        exo.control.delete_instance(instance)
        exo.control.advance(3)
    return exo


def body(exo: SimulatedExo) -> bytes:
    return exo._simulation.cluster.state.encode()


def test_tasks_that_have_not_changed_are_carried_over(exo: SimulatedExo, monkeypatch: pytest.MonkeyPatch) -> None:
    before = parse_state(body(exo))
    assert len(before.tasks) >= 600
    made: list[Task] = []

    def counted(**fields: object) -> Task:
        made.append(Task(**fields))  # type: ignore[arg-type]  # as the reader names them
        return made[-1]

    monkeypatch.setattr(reader, "Task", counted)
    exo.control.advance(5)
    after = parse_state(body(exo), before)
    assert made == []
    assert all(after.tasks[id_] is task for id_, task in before.tasks.items())
    instance = exo.control.place(exo.control.cards[1])
    assert instance is not None
    exo.control.advance(15)
    loaded = parse_state(body(exo), after)
    assert len(made) == len(loaded.tasks) - len(after.tasks) == 3
    exo.control.delete_instance(instance)
    exo.control.advance(3)
    assert len(parse_state(body(exo), loaded).tasks) == len(loaded.tasks) + 1


def test_a_task_that_has_changed_is_read_anew(exo: SimulatedExo) -> None:
    state = exo._simulation.cluster.state
    before = parse_state(body(exo))
    id_, document = next((id_, task) for id_, task in state.tasks.items() if "LoadModel" in task)
    document["LoadModel"]["taskStatus"] = "Failed"
    after = parse_state(body(exo), before)
    document["LoadModel"]["taskStatus"] = "Complete"
    assert (before.tasks[id_].status, after.tasks[id_].status) == (TaskStatus.COMPLETE, TaskStatus.FAILED)


def test_a_task_that_is_gone_is_not_carried_over(exo: SimulatedExo) -> None:
    before = parse_state(body(exo))
    empty = parse_state(b'{"tasks": {}, "instances": {}}', before)
    assert empty.tasks == {}


def test_a_chat_is_always_read_anew() -> None:
    def state(message: str | None) -> State:
        text = "null" if message is None else f'"{message}"'
        task = f'{{"taskStatus": "Running", "instanceId": "i", "commandId": "c", "errorMessage": {text}}}'
        return parse_state(f'{{"instances": {{}}, "tasks": {{"t": {{"TextGeneration": {task}}}}}}}'.encode(), before)

    before: State | None = None
    before = state(None)
    assert state("no memory").tasks["t"].error_message == "no memory"


def test_runners_that_have_nothing_more_to_say_are_one_object(exo: SimulatedExo) -> None:
    state = parse_state(body(exo))
    assert len(state.runners) >= 150
    assert len({id(runner) for runner in state.runners.values()}) < 10
