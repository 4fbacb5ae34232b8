"""Which process runs which test, as a pytest plugin: four processes for two cores, and some files in one of them.

Not `--dist loadgroup`: pytest 9.2 has node ids that pytest-xdist 3.8 cannot add a group to, and it says nothing of it.
"""

import os

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
    }.items()
    for file in files
}
"""The files whose tests one process runs, in their order; any other test is by itself."""
FIRST = (
    "tests/operations/test_sigkill.py",
    "tests/test_readme.py",
    "tests/engine/test_compiled.py",
    "tests/test_main.py",
)
"""Files of tests that take seconds each: begun last, one would keep a process busy while the others have none."""


class Groups(LoadScopeScheduling):  # type: ignore[misc]  # xdist is untyped
    """Hands out a group as a whole, the largest first, and then test by test."""

    def _split_scope(self, nodeid: str) -> str:
        return GROUPS.get(nodeid.partition("::")[0], nodeid)


@pytest.hookimpl
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the long tests first; all others stay in their order."""
    items.sort(key=lambda item: item.nodeid.partition("::")[0] not in FIRST)


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Groups:
    return Groups(config, log)


@pytest.hookimpl
def pytest_xdist_auto_num_workers() -> int:
    """Two processes for each core: half of the time a test waits for sockets, processes and clocks."""
    return 2 * (os.cpu_count() or 1)
