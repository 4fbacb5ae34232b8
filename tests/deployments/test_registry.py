"""What is stored is what is read again; what cannot be read is kept."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exo_graphql.deployments.deployment import AttemptFailure, Deployment, LoadTime, Pause, Spec
from exo_graphql.deployments.registry import Registry
from exo_graphql.deployments.schedule import Window
from exo_graphql.storage import Collection, Entry
from exo_graphql.storage.sqlite import SQLiteStore

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


async def _read(path: Path) -> tuple[Deployment, ...]:
    store = SQLiteStore(path)
    await store.open()
    registry = Registry(store)
    await registry.open()
    await store.close()
    return registry.all()


async def test_what_is_stored_is_what_is_read(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    await store.open()
    registry = Registry(store)
    await registry.open()
    other = replace(FULL, uid="other", name="day")
    await registry.add(FULL)
    await registry.add(other)
    assert await registry.update("uid", lambda deployment: replace(deployment, generation=4)) is registry.of("uid")
    assert await registry.update("nobody", lambda deployment: deployment) is None
    version = registry.version
    await registry.update("uid", lambda deployment: deployment)
    assert registry.version == version
    await store.close()
    assert await _read(tmp_path / "store.db") == (other, replace(FULL, generation=4))


async def test_what_cannot_be_read_is_kept_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SQLiteStore(path)
    await store.open()
    await store.admit(Collection.DEPLOYMENTS, Entry(9, "odd", active=True, record=b"{}"))
    registry = Registry(store)
    await registry.open()
    assert registry.all() == ()
    await registry.add(FULL)
    assert [(entry.sequence, entry.id) for entry in await store.entries(Collection.DEPLOYMENTS)] == [
        (9, "odd"),
        (10, "uid"),
    ]
    await registry.forget("uid")
    await store.close()
    assert await _read(path) == ()


async def test_several_changes_are_seen_at_once(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    await store.open()
    registry = Registry(store)
    await registry.open()
    day = replace(FULL, uid="day", name="day", spec=Spec("n"))
    await registry.add(FULL)
    await registry.add(day)
    await registry.add(replace(FULL, uid="old", name="old"))
    seen: list[set[tuple[str, str]]] = []
    registry.listen(lambda: seen.append({(each.name, each.spec.model_id) for each in registry.all()}))
    exchange = {
        "uid": lambda deployment: replace(deployment, spec=Spec("n")),
        "day": lambda deployment: replace(deployment, spec=Spec("m")),
        "nobody": lambda deployment: deployment,
    }
    await registry.change_all(exchange, [replace(FULL, uid="new", name="new")], ["old"])
    assert seen == [{("night", "n"), ("day", "m"), ("new", FULL.spec.model_id)}]
    await store.close()
    assert {(each.name, each.spec.model_id) for each in await _read(tmp_path / "store.db")} == seen[0]
