"""What exo never removes costs next to nothing: old tasks and runners are neither read nor compared again."""

import pytest

from exo_graphql.cluster.state import State, TaskStatus
from exo_graphql.exo.parse import StateReader, parse_state
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


def test_tasks_that_have_not_changed_are_carried_over(exo: SimulatedExo) -> None:
    reader = StateReader()
    before = reader.parse(body(exo))
    assert len(before.tasks) >= 600
    exo.control.advance(5)
    after = reader.parse(body(exo))
    assert after.tasks is before.tasks
    assert after.runners is before.runners
    instance = exo.control.place(exo.control.cards[1])
    assert instance is not None
    exo.control.advance(15)
    loaded = reader.parse(body(exo))
    assert all(loaded.tasks[id_] is task for id_, task in after.tasks.items())
    assert len(loaded.tasks) - len(after.tasks) == 3
    exo.control.delete_instance(instance)
    exo.control.advance(3)
    assert len(reader.parse(body(exo)).tasks) == len(loaded.tasks) + 1


def test_a_task_that_has_changed_is_read_again(exo: SimulatedExo) -> None:
    reader = StateReader()
    state = exo._simulation.cluster.state
    before = reader.parse(body(exo))
    id_, document = next((id_, task) for id_, task in state.tasks.items() if "LoadModel" in task)
    document["LoadModel"]["taskStatus"] = "Failed"
    after = reader.parse(body(exo))
    document["LoadModel"]["taskStatus"] = "Complete"
    assert (before.tasks[id_].status, after.tasks[id_].status) == (TaskStatus.COMPLETE, TaskStatus.FAILED)


def test_a_task_that_is_gone_is_not_carried_over(exo: SimulatedExo) -> None:
    reader = StateReader()
    assert reader.parse(body(exo)).tasks
    assert reader.parse(b'{"tasks":{},"instances":{}}').tasks == {}


def test_a_task_in_which_anything_has_changed_is_read_again() -> None:
    reader = StateReader()

    def state(message: str) -> State:
        task = f'{{"taskStatus":"Running","instanceId":"i","commandId":"c","errorMessage":{message}}}'
        return reader.parse(f'{{"instances":{{}},"tasks":{{"t":{{"TextGeneration":{task}}}}}}}'.encode())

    assert state("null").tasks["t"].error_message is None
    assert state('"no memory"').tasks["t"].error_message == "no memory"


def test_runners_without_details_are_one_object(exo: SimulatedExo) -> None:
    state = parse_state(body(exo))
    assert len(state.runners) >= 150
    assert len({id(runner) for runner in state.runners.values()}) < 10
