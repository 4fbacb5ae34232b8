"""The clock of the tests that are about time."""

import pytest

from tests.support.virtual_time import VirtualTimeLoop


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Virtual time for the whole package; a module that needs sockets takes the real one again."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}
