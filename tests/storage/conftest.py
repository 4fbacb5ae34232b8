"""What operates on a cluster runs under virtual time, beside the store's thread."""

import pytest

from tests.support.threaded_time import ThreadedTimeLoop


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Virtual time that waits for threads."""
    return "asyncio", {"loop_factory": ThreadedTimeLoop}
