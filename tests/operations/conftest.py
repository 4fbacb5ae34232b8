"""Operations are tested under virtual time, over the real feed and the simulated exo, with the journal's thread."""

import pytest

from tests.support.threaded_time import ThreadedTimeLoop


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Virtual time for the whole room; a module that needs sockets takes the real one again."""
    return "asyncio", {"loop_factory": ThreadedTimeLoop}
