"""What every test shares: asyncio as the one backend, and the tools (a Chromium, Node, the wheel)."""

import gc

import pytest

pytest_plugins = ["pytester", "tests.chromium", "tests.node_tools", "tests.scheduling", "tests.tools", "tests.wheel"]


@pytest.hookimpl
def pytest_collection_finish() -> None:
    """What all the tests are made of stays to the end: the collector of cycles need not look at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Each test has a loop of its own, but where a fixture of the whole module keeps one."""
    return "asyncio"
