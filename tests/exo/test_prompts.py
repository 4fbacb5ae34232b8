"""A copy of exo's state for other servers: all of it, but for what users sent to models."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exo_graphql.exo.parse.state import parse_state
from exo_graphql.exo.prompts import without_prompts
from tests.support.recordings import NAMES, steps

PROMPT = "what nobody but the model may read"


@pytest.mark.parametrize("key", ["taskParams", r"task\u0050arams"])
def test_no_prompt_is_in_a_copy(key: str) -> None:
    task = f'{{"TextGeneration":{{"taskId":"t","taskStatus":"Running","{key}":{{"input":"{PROMPT}"}}}}}}'
    other = '{"CreateRunner":{"taskId":"u","taskStatus":"Complete"}}'
    compact = f'{{"topology":{{"nodes":[]}},"tasks":{{"t":{task},"u":{other}}},"unknown":[1]}}'
    for body in (compact, compact.replace(",", ", ")):
        copy = without_prompts(body.encode())
        assert PROMPT.encode() not in copy
        assert orjson.loads(copy)["unknown"] == [1]
        assert orjson.loads(copy)["tasks"].keys() == {"t", "u"}
        assert parse_state(copy) == parse_state(body.encode())


def test_every_recorded_state_is_the_same_without_prompts() -> None:
    for name in NAMES:
        body = orjson.dumps(steps(name)[-1].document)
        assert parse_state(without_prompts(body)) == parse_state(body)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["taskParams", "tasks", "a", PROMPT]), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(tasks=_VALUES, others=_VALUES)
@settings(max_examples=100, deadline=None)
def test_nothing_but_prompts_is_taken_out(tasks: object, others: object) -> None:
    document = {"topology": {}, "tasks": tasks, "others": others}
    assert orjson.loads(without_prompts(orjson.dumps(document))) == _without(document)


def _without(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without(inner) for key, inner in value.items() if key != "taskParams"}
    return [_without(inner) for inner in value] if isinstance(value, list) else value
