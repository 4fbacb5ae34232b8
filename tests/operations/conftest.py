"""Operations are tested in virtual time, over the real poller, the simulated exo and the journal's thread."""

import pytest

from tests.support.threaded_time import InlineTimeLoop


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Virtual time for this package; a module that needs sockets overrides it with real time."""
    return "asyncio", {"loop_factory": InlineTimeLoop}
