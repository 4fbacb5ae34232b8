"""What is remembered of deployments, read from the store."""

from datetime import UTC, datetime

import pytest

from exo_graphql.deployments.deployment import DeploymentState
from exo_graphql.deployments.memories import Memories, Memory
from exo_graphql.storage import Collection, Entry
from exo_graphql.storage.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

MEMORIES = Collection.MEMORIES


async def test_what_another_version_has_written_is_logged_once_and_begun_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = SQLiteStore(None)
    await store.open()
    memory = Memory(DeploymentState.READY, datetime(2026, 1, 2, tzinfo=UTC))
    memories = Memories(store)
    memories.note({"d-1": memory})
    await memories.flush()
    await store.save(MEMORIES, Entry(2, "d-2", active=False, record=b'{"state": "OF_ANOTHER_VERSION"}'))
    await store.save(MEMORIES, Entry(3, "file", active=False, record=b"{}"))

    again = Memories(store)
    await again.read()
    await again.reread(["d-1"])
    assert again.by_uid == {"d-1": memory}
    assert again.refused is None
    logged = [record.message for record in caplog.records]
    assert logged == [
        "What is remembered of deployment d-2 cannot be read: another version has written it. It begins anew.",
        "What is remembered of the deployments file cannot be read: another version has written it. It begins anew.",
    ]
    await store.close()
