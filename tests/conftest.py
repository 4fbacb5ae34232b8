"""What every test shares: asyncio as the one backend, a Chromium, Node."""

import pytest

pytest_plugins = ["tests.chromium", "tests.node_tools"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
