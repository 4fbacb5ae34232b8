"""Reading a state pauses the garbage collector, and restores it."""

import gc
from collections.abc import Iterator
from contextlib import suppress

import pytest

from exo_graphql.exo.parse import NotAState, parse_state


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    gc.enable()


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("body", [b'{"topology": {}}', b"<html>", b"[]"])
def test_the_collector_is_as_it_was_after_any_body(body: bytes, enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    with suppress(NotAState):
        parse_state(body)
    assert gc.isenabled() is enabled


def test_the_collector_runs_once_after_a_state_is_read_not_while_it_is() -> None:
    seen = []

    def looked(phase: str, info: dict[str, int]) -> None:
        seen.append(phase)

    body = b'{"topology": {"nodes": [' + b",".join(b'"n%d"' % n for n in range(20_000)) + b"]}}"
    gc.collect()
    gc.callbacks.append(looked)
    try:
        state = parse_state(body)
    finally:
        gc.callbacks.remove(looked)
    assert len(state.nodes) == 20_000
    assert seen.count("start") <= 1
