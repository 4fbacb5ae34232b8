"""Models of the hub: found, added, and removed."""

import pytest

from exo_graphql.operations import (
    HubUnavailable,
    InvalidArgument,
    ModelNotAdded,
    ModelNotCustom,
    ModelNotFound,
    OperationConflict,
)
from tests.support.simulated_cluster import A, begun, world

pytestmark = pytest.mark.anyio
PHI = "mlx-community/Phi-4-mini-instruct-4bit"


async def test_what_the_hub_has_is_found_mlx_community_first() -> None:
    async with world() as w:
        found = await w.ops.search_hub("phi", 20)
        assert not isinstance(found, HubUnavailable | InvalidArgument)
        (model,) = found  # type: ignore[misc]
        assert (model.id, model.author, model.tags[:1]) == (PHI, "mlx-community", ("mlx",))
        others = await w.ops.search_hub("granite", 20)
        assert [m.id for m in others] == ["ibm-granite/granite-4.0-h-small-mlx"]  # type: ignore[union-attr]
        assert len(await w.ops.search_hub("", 2)) == 2  # type: ignore[arg-type]
        assert await w.ops.search_hub("no such thing", 20) == ()
        for limit in (0, 101):
            assert isinstance(await w.ops.search_hub("phi", limit), InvalidArgument)


async def test_a_model_is_in_the_catalogue_when_it_was_added_and_gone_when_it_was_removed() -> None:
    async with world() as w:
        card = await w.ops.add_model(f" {PHI} ")
        assert getattr(card, "id", None) == PHI
        added = w.poller.snapshot
        assert added is not None
        assert added.models[PHI].is_custom
        assert getattr(await w.ops.add_model(PHI), "id", None) == PHI
        assert (await w.loaded(PHI)).load_ids == (PHI,)
        assert isinstance(await w.ops.remove_model("phi-4-mini-instruct-4bit"), InvalidArgument)
        await w.end(await w.ops.unload(PHI))
        assert await w.ops.remove_model("phi-4-mini-instruct-4bit") == PHI
        removed = w.poller.snapshot
        assert removed is not None
        assert PHI not in removed.models
        assert isinstance(await w.ops.remove_model(PHI), ModelNotFound)


async def test_what_cannot_be_added_or_removed_says_why_and_what_can() -> None:
    async with world() as w:
        unknown = await w.ops.add_model("mlx-community/no-such-model")
        assert isinstance(unknown, ModelNotAdded)
        assert "Repository Not Found" in unknown.reason
        for name in ("", "phi", "/phi", "mlx-community/", "a/b/c"):
            assert isinstance(await w.ops.add_model(name), InvalidArgument), name
        await w.ops.add_model(PHI)
        refused = await w.ops.remove_model(A)
        assert isinstance(refused, ModelNotCustom)
        assert refused.custom == (PHI,)
        operation = begun(await w.ops.load(PHI))
        assert isinstance(await w.ops.remove_model(PHI), OperationConflict)
        await w.end(operation)


async def test_a_hub_that_cannot_be_reached_is_an_error_of_its_own() -> None:
    async with world() as w:
        w.sim.control.drop_connections = True
        assert isinstance(await w.ops.search_hub("phi", 5), HubUnavailable)
