"""The version of a snapshot: it changes exactly when anything but clocks does."""

import copy
import random
from collections.abc import Callable
from datetime import timedelta

import pytest

from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.cluster.state import ModelCard
from exo_graphql.exo.parse import read_state
from tests.support.documents import (
    GIB,
    MODEL,
    Json,
    Story,
    completed,
    document,
    instance,
    ongoing,
    pending,
    runner,
    size,
    task,
)
from tests.support.recordings import EXO, NAMES, START, moment, steps

READY = runner("Ready", prefillServerPort=None)


def busy() -> Json:
    """A state with something of everything."""
    return document(
        ["n1", "n2"],
        [instance("i1", {"n1": "r1", "n2": "r2"}), instance("i2", {"n2": "r3"}, "test/two")],
        {"r1": runner("Loading", layersLoaded=1, totalLayers=4), "r2": READY, "r3": READY},
        {"n1": [completed(), ongoing("test/two")], "n2": [completed(), pending("test/two")]},
        {"t1": task("TextGeneration", "i2", commandId="c1"), "t2": task("LoadModel", "i1")},
        unseen={"n2": 1.0},
    )


def _index(state: Json) -> None:
    state["lastEventAppliedIdx"] += 36


def _age(state: Json) -> None:
    state["lastSeen"]["n2"] = (START - timedelta(seconds=4)).isoformat()


def _silence(state: Json) -> None:
    state["lastSeen"]["n2"] = (START - timedelta(seconds=14)).isoformat()


def _layer(state: Json) -> None:
    state["runners"]["r1"]["RunnerLoading"]["layersLoaded"] = 2


def _byte(state: Json) -> None:
    state["downloads"]["n1"][1]["DownloadOngoing"]["downloadProgress"]["downloaded"] = size(1)


def _memory(state: Json) -> None:
    state["nodeMemory"]["n1"]["ramAvailable"] = size(47 * GIB)


def _task(state: Json) -> None:
    state["tasks"]["t1"]["TextGeneration"]["taskStatus"] = "Complete"


def _reverse(key: str) -> Callable[[Json], None]:
    def change(state: Json) -> None:
        state[key] = dict(reversed(state[key].items()))

    return change


def _reverse_members(state: Json) -> None:
    state["topology"]["nodes"].reverse()


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda _: None, False),
        (_index, False),
        (_age, False),
        (_silence, True),
        (_layer, True),
        (_byte, True),
        (_memory, True),
        (_task, True),
        (_reverse_members, True),
        (_reverse("instances"), True),
        (_reverse("tasks"), True),
        (_reverse("runners"), False),
    ],
)
def test_the_version_changes_exactly_when_anything_but_clocks_does(
    change: Callable[[Json], None], differs: bool
) -> None:
    story = Story()
    before = story.see(0.0, busy()).version
    after = busy()
    change(after)
    assert story.see(1.0, after).version == before + differs


def test_the_version_changes_with_the_connection_the_catalogue_and_what_is_unloaded() -> None:
    story = Story()
    versions = [story.see(0.0, busy()).version]
    versions.append(story.see(1.0, None, source=Source("http://exo", "the-node-that-answered", False)).version)
    versions.append(story.see(2.0, busy()).version)
    story.catalogue = {"test/new": ModelCard("test/new")}
    versions.append(story.see(3.0, busy()).version)
    versions.append(story.see(4.0, busy(), unloading={"i2": "test/two"}).version)
    versions.append(story.see(5.0, busy(), unloading={"i2": "test/two"}).version)
    assert versions == [0, 1, 2, 3, 4, 4]


def test_the_version_changes_with_what_shows_in_one_part_of_the_snapshot_alone() -> None:
    idle = document(["n1", "n2"])
    silent = document(["n1", "n2"], unseen={"n2": 12.0})
    two = document(
        ["n1"],
        [instance("i1", {"n1": "r1"}), instance("i2", {"n1": "r2"})],
        {"r1": READY, "r2": READY},
    )
    for first, first_unloading, second, second_unloading in (
        # A node falls silent that holds nothing.
        (idle, {}, silent, {}),
        # A copy is unloaded while the other one serves.
        (two, {}, two, {"i2": MODEL}),
        # The memory of an instance that is gone comes back.
        (idle, {"i1": MODEL}, idle, {}),
    ):
        story = Story()
        story.see(0.0, first, unloading=first_unloading)
        assert story.see(1.0, second, unloading=second_unloading).version == 1
        assert story.see(2.0, second, unloading=second_unloading).version == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_same_document_again_is_the_same_version(name: str) -> None:
    for step in steps(name):
        first, _ = advance(None, read_state(step.document), moment(0), EXO)
        shuffled = copy.deepcopy(step.document)
        items = list(shuffled["runners"].items())
        random.Random(0).shuffle(items)
        shuffled["runners"] = dict(items)
        shuffled["lastEventAppliedIdx"] += 1
        second, _ = advance(first, read_state(shuffled), moment(1), EXO)
        assert isinstance(second, Snapshot)
        assert second.version == 0
