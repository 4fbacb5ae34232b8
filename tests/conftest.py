"""What every test shares: asyncio as the one backend, and the tools (a Chromium, Node, the wheel)."""

import pytest

pytest_plugins = [
    "tests.support.startup",
    "pytester",
    "tests.support.chromium",
    "tests.support.forks",
    "tests.support.node_tools",
    "tests.support.postgres",
    "tests.support.scheduling",
    "tests.support.stores",
    "tests.support.tools",
    "tests.support.wheel",
]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Each test has a loop of its own, but where a fixture of the whole module keeps one."""
    return "asyncio"
