"""What every test shares: asyncio as the one backend, and the tools (a Chromium, Node, the wheel)."""

import pytest

pytest_plugins = ["pytester", "tests.chromium", "tests.node_tools", "tests.tools", "tests.wheel"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
