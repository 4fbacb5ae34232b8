"""What every test shares: asyncio as the one backend."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
