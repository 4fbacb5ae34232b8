"""What is stored is what is read again, by one server at a time."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exo_graphql.deployments.deployment import AttemptFailure, Deployment, LoadTime, Pause, Spec
from exo_graphql.deployments.schedule import Window
from exo_graphql.deployments.store import DeploymentStore
from exo_graphql.storage import StoreError

pytestmark = pytest.mark.anyio

AT = datetime(2026, 6, 22, 12, tzinfo=UTC)
FULL = Deployment(
    "night",
    "uid",
    Spec("m", nodes=("a", "b"), schedule=(Window("0 23 * * *", 420, "Europe/Berlin", ready_by=True),)),
    generation=3,
    owned=("i", "j"),
    placements=(("a", "b"),),
    attempts=2,
    retry_at=AT,
    sequence=7,
    pending="deployment:uid:7",
    pause=Pause("Paused by a person.", AT),
    last_failure=AttemptFailure(AT, "No."),
    load_times=(LoadTime(AT, 12.5),),
)


async def test_what_is_stored_is_what_is_read(tmp_path: Path) -> None:
    store = DeploymentStore(tmp_path / "deployments.db")
    assert await store.open() == []
    await store.save(FULL)
    await store.save(replace(FULL, uid="other", name="day"))
    await store.save(replace(FULL, generation=4))
    await store.close()
    store = DeploymentStore(tmp_path / "deployments.db")
    assert await store.open() == [replace(FULL, uid="other", name="day"), replace(FULL, generation=4)]
    await store.delete("other")
    await store.close()
    store = DeploymentStore(tmp_path / "deployments.db")
    assert [deployment.name for deployment in await store.open()] == ["night"]
    await store.close()


async def test_a_second_server_is_refused(tmp_path: Path) -> None:
    first, second = DeploymentStore(tmp_path / "deployments.db"), DeploymentStore(tmp_path / "deployments.db")
    await first.open()
    await first.save(FULL)
    with pytest.raises(StoreError, match="locked"):
        await second.open()
    await first.close()
    await second.close()


async def test_a_newer_file_is_refused_and_what_cannot_be_read_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "deployments.db"
    store = DeploymentStore(path)
    await store.open()
    await store.save(FULL)
    await store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE deployments SET record = '{}'")
    store = DeploymentStore(path)
    assert await store.open() == []
    await store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert db.execute("SELECT count(*) FROM deployments").fetchone() == (1,)
        db.execute("PRAGMA user_version = 99")
    newer = DeploymentStore(path)
    with pytest.raises(StoreError, match="newer"):
        await newer.open()
    await newer.close()
