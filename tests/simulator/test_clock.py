"""Simulated time."""

import pytest

from exo_graphql.simulator.clock import Clock, Process

pytestmark = pytest.mark.anyio


async def test_each_step_runs_at_its_own_simulated_time_however_late_it_is_run() -> None:
    clock = Clock()
    seen: list[tuple[str, float]] = []

    def every(name: str, pause: float) -> Process:
        while True:
            yield pause
            seen.append((name, clock.now))

    clock.spawn(every("slow", 0.5))
    clock.spawn(every("fast", 0.2))
    clock.advance(1.0)
    assert [(name, round(at, 6)) for name, at in seen] == [
        ("fast", 0.2),
        ("fast", 0.4),
        ("slow", 0.5),
        ("fast", 0.6),
        ("fast", 0.8),
        ("slow", 1.0),
        ("fast", 1.0),
    ]


async def test_a_cancelled_process_never_steps_again() -> None:
    clock = Clock()
    seen: list[str] = []

    def once() -> Process:
        yield 1.0
        seen.append("ran")

    running = clock.spawn(once())
    clock.advance(0.5)
    running.cancel()
    clock.advance(5.0)
    assert seen == []


async def test_a_process_may_cancel_itself() -> None:
    clock = Clock()
    seen: list[str] = []

    def suicidal() -> Process:
        yield 1.0
        running.cancel()
        seen.append("last words")
        yield 1.0
        seen.append("ghost")

    running = clock.spawn(suicidal())
    clock.advance(5.0)
    assert seen == ["last words"]


async def test_speed_shortens_a_sleep() -> None:
    clock = Clock(speed=1000)
    clock.start()
    began = clock.now
    await clock.sleep(20)
    assert 20 <= clock.now - began < 1000


@pytest.mark.parametrize("speed", [0, -1])
async def test_time_does_not_run_backwards_or_stand_still(speed: float) -> None:
    with pytest.raises(ValueError, match="speed must be above 0"):
        Clock(speed)
