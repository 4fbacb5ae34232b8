"""The clock that ages are measured by, and that nothing else measures one."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exo_graphql import clock

PACKAGE = Path(__file__).parents[1] / "exo_graphql"


@pytest.mark.skipif(sys.platform != "linux", reason="names Linux' clock")
def test_on_linux_it_counts_the_time_that_the_machine_sleeps() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= clock.elapsed() <= time.clock_gettime(time.CLOCK_BOOTTIME)


@pytest.mark.parametrize(
    ("platform", "offered", "expected"),
    [
        ("linux", {"CLOCK_BOOTTIME": 7}, 7.5),
        ("freebsd14", {"CLOCK_BOOTTIME": 5}, 5.5),
        # macOS has CLOCK_MONOTONIC as well, and `time.monotonic()` stops there.
        ("darwin", {"CLOCK_MONOTONIC": 6, "CLOCK_MONOTONIC_RAW": 4}, 4.5),
        # Linux' CLOCK_MONOTONIC_RAW stops during sleep: it is not taken.
        ("linux", {"CLOCK_MONOTONIC_RAW": 4}, 1.0),
        ("win32", {}, 1.0),
    ],
)
def test_each_platform_gives_what_it_has(
    platform: str, offered: dict[str, int], expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Time:
        @staticmethod
        def monotonic() -> float:
            return 1.0

        @staticmethod
        def clock_gettime(number: int) -> float:
            return number + 0.5

    for name, number in offered.items():
        setattr(Time, name, number)
    monkeypatch.setattr(clock, "time", Time)
    monkeypatch.setattr(sys, "platform", platform)
    assert clock._clock()() == expected


def test_where_the_clock_is_refused_there_is_still_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: int) -> float:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(time, "clock_gettime", refused)
    assert clock._clock() is time.monotonic


def test_a_moment_has_both_clocks_and_its_age_is_never_negative() -> None:
    first, second = clock.now(), clock.now()
    assert second.since(first.elapsed) >= 0.0 == first.since(second.elapsed + 1.0)
    assert first.at.tzinfo is not None


def test_ages_are_measured_by_no_other_clock() -> None:
    """`time.monotonic` stops while a laptop sleeps; arithmetic with the wall clock jumps when it is set."""
    # `frame` draws a terminal; `demo` simulates time of its own. `perf_counter` times our own work.
    allowed = {"clock.py", "cli/progress_view.py", "simulator/clock.py", "simulator/reads.py", "simulator/routes.py"}
    used = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in {("time", "monotonic"), ("time", "time")}
    }
    assert used - allowed == set()


def test_it_is_the_same_clock_for_every_process_of_a_machine() -> None:
    """What one process stamped, another may compare with: leases, and what a restart left."""
    before = clock.elapsed()
    process = subprocess.run(
        [sys.executable, "-c", "from exo_graphql import clock; print(clock.elapsed())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert before <= float(process.stdout) <= clock.elapsed()
