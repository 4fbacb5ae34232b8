"""Deployments are tested under virtual time, over the real poller, operations and store, and the simulated exo."""

import pytest

from tests.support.threaded_time import InlineTimeLoop


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Virtual time for the whole package."""
    return "asyncio", {"loop_factory": InlineTimeLoop}
