"""Which process runs which test, as a pytest plugin: six processes for two cores, and some files in one of them.

Not `--dist loadgroup`: pytest 9.2 has node ids that pytest-xdist 3.8 cannot add a group to, and it says nothing of it.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

TIMING = "timing"
GROUPS = {
    f"tests/{file}.py": group
    for group, files in {
        # What is about time, and so is not to be held up by another of its kind; the recordings are played once.
        TIMING: [
            "simulator/test_exo",
            "transports/test_hostile",
            "transports/test_live_sockets",
            "transports/test_push_replay",
            "transports/test_shutdown",
        ],
        "wheel": ["test_wheel"],  # what needs it builds it once
        "readme": ["test_readme"],  # they use one demo
        "postgres": ["storage/test_contract", "storage/test_postgres"],  # one server for all of them
    }.items()
    for file in files
}
"""The files whose tests one process runs, in their order; any other test is by itself."""
RECORD = Path(__file__).parents[1] / "data" / "long_tests.json"
LONG = 1.0
"""Seconds of a test that is not to begin last: it would keep one process busy while the others have none."""


def long_tests() -> dict[str, float]:
    """Seconds that the long tests took when they were last recorded, by file and function."""
    recorded: dict[str, float] = json.loads(RECORD.read_text())
    return recorded


def function_of(nodeid: str) -> str:
    """The file and the function of a test, without its parameters."""
    return nodeid.partition("[")[0]


class Groups(LoadScopeScheduling):  # type: ignore[misc]  # xdist is untyped
    """Hands out a group as a whole, the largest first, and then test by test."""

    def _split_scope(self, nodeid: str) -> str:
        return GROUPS.get(nodeid.partition("::")[0], nodeid)

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """Forgets what is done, too: xdist would count all of it again after each test, for 1 s of CPU time."""
        super().mark_test_complete(node, item_index, duration)
        assigned = self.assigned_work[node]
        scope = self._split_scope(self.registered_collections[node][item_index])
        if all(assigned[scope].values()):
            del assigned[scope]


@pytest.hookimpl
def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-long-tests", action="store_true", help=f"write {RECORD.name} anew, on an idle machine")


@pytest.hookimpl
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--record-long-tests") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(RECORD))


@pytest.hookimpl
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the long tests first, the longest of all before the others; the rest stays in its order.

    So do the tests of a group's file, which may need what those before them have done: it goes where its longest does.
    """
    longest: dict[str, float] = {}
    for function, seconds in long_tests().items():
        unit = _unit_of(function)
        longest[unit] = max(seconds, longest.get(unit, 0.0))
    items.sort(key=lambda item: -longest.get(_unit_of(item.nodeid), 0.0))


def _unit_of(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return file if file in GROUPS else function_of(nodeid)


@pytest.hookimpl
def pytest_runtest_logstart(nodeid: str) -> None:
    """What is about time goes first wherever processes wait for a core."""
    if "PYTEST_XDIST_WORKER" in os.environ and GROUPS.get(nodeid.partition("::")[0]) != TIMING:
        _give_way()


@cache
def _give_way() -> None:
    """A process cannot take it back: the group comes first in the one that runs it."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(5)


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Groups:
    return Groups(config, log)


@pytest.hookimpl
def pytest_xdist_auto_num_workers() -> int:
    """Three processes for each core, as a test often waits for sockets, processes and clocks; not above 16.

    Each takes 2 s of CPU time to begin, and with 16 the longest tests take as long as all of them.
    """
    return min(16, 3 * (os.cpu_count() or 1))


class Recorder:
    """Writes down how long each function's longest test took, where that is long."""

    def __init__(self, record: Path) -> None:
        self._record = record
        self._seconds: dict[str, float] = {}

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration

    @pytest.hookimpl
    def pytest_sessionfinish(self) -> None:
        longest: dict[str, float] = {}
        for nodeid, seconds in self._seconds.items():
            longest[function_of(nodeid)] = max(round(seconds, 1), longest.get(function_of(nodeid), 0.0))
        kept = {name: seconds for name, seconds in sorted(longest.items()) if seconds >= LONG}
        self._record.write_text(json.dumps(kept, indent=2) + "\n")
