"""The clock of the tests: what this process does and waits for counts, what holds it up does not."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exo_graphql import clock
from exo_graphql.simulator.clock import Clock

pytestmark = pytest.mark.anyio

HELD_UP = 0.1
"""Seconds in which the loop has no turn, and uses no CPU time: as where other processes have the cores."""


async def test_a_hold_up_does_not_count() -> None:
    began = asyncio.get_running_loop().time()
    time.sleep(HELD_UP)  # noqa: ASYNC251  # that is a hold-up
    assert asyncio.get_running_loop().time() - began < HELD_UP / 2


async def test_what_is_waited_for_and_what_is_computed_counts() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(0.03)
    waited = loop.time() - began
    assert waited >= 0.03
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass
    assert loop.time() - began >= waited + 0.02


async def test_no_timeout_ends_while_the_loop_is_held_up() -> None:
    async with asyncio.timeout(HELD_UP / 2):
        await asyncio.sleep(0)
        time.sleep(HELD_UP)  # noqa: ASYNC251  # that is a hold-up
        await asyncio.sleep(0)


async def test_the_clocks_of_the_server_and_of_the_simulated_exo_are_the_loops() -> None:
    exo = Clock()
    exo.start()
    began = clock.elapsed()
    time.sleep(HELD_UP)  # noqa: ASYNC251  # that is a hold-up
    assert clock.elapsed() - began < HELD_UP / 2
    assert exo.elapsed < HELD_UP / 2


async def test_what_happens_in_a_thread_wakes_the_loop() -> None:
    assert await asyncio.to_thread(lambda: "done") == "done"


@given(st.just(0.3))
@settings(max_examples=1)
def test_an_example_may_take_long(seconds: float) -> None:
    time.sleep(seconds)
