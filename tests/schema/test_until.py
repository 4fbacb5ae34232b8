"""When the subscription to a model's status completes by itself."""

import difflib

import pytest

from exo_graphql.cluster.loads import FailedLoad, Loads
from exo_graphql.cluster.snapshot import Source
from tests.support.asking import ask
from tests.support.documents import MODEL, Story, document, instance, runner
from tests.support.recordings import EXO, at

READY = runner("Ready", prefillServerPort=None)
IDLE = runner("Idle")
GONE = document(["n1"])
ONE = document(["n1"], [instance("i1", {"n1": "r1"})], {"r1": READY})
COPIES = document(["n1"], [instance("i1", {"n1": "r1"}), instance("i2", {"n1": "r2"})], {"r1": READY, "r2": IDLE})
FAILED = Loads(failed={MODEL: FailedLoad("op-1", "exo never made the instance.", at(0))})


def ends(story: Story, until: str, model: str = MODEL) -> bool:
    query = f'subscription {{ modelStatus(model: "{model}", until: {until}) {{ phase ready readyInstances final }} }}'
    return ask(story.snapshot, query).context.completed


@pytest.mark.parametrize(
    ("name", "ready", "settled"),
    [
        ("nothing knows the name", True, True),
        ("ready", True, True),
        ("one of two copies is ready", False, False),
        ("lost with its node", True, True),
        ("an operation failed", True, True),
        ("not loaded", False, True),
        ("to be loaded by an operation", False, False),
        ("on its way", False, False),
    ],
)
def test_the_stream_ends_when_no_further_change_is_expected(name: str, ready: bool, settled: bool) -> None:
    story, model = Story(), MODEL
    story.see(0.0, ONE)
    match name:
        case "nothing knows the name":
            model = "nobody/knows"
        case "one of two copies is ready":
            story.see(1.0, COPIES)
        case "lost with its node":
            story.see(1.0, document(["n2"], index=200))
        case "an operation failed":
            story.see(1.0, GONE)
            story.see(2.0, GONE, loads=FAILED)
        case "not loaded":
            story.see(1.0, GONE)
        case "to be loaded by an operation":
            story.see(1.0, GONE, loads=Loads(under_way=frozenset({MODEL})))
        case "on its way":
            story.see(1.0, document(["n1"], [instance("i2", {"n1": "r2"})], {"r2": IDLE}))
    assert (ends(story, "READY", model), ends(story, "SETTLED", model), ends(story, "NEVER", model)) == (
        ready,
        settled,
        False,
    )


@pytest.mark.parametrize("model", [MODEL, "nobody/knows"])
def test_a_stale_status_ends_nothing(model: str) -> None:
    story = Story()
    story.see(0.0, ONE)
    story.see(1.0, None, source=Source(EXO.exo_url, EXO.api_node_id, connected=False))
    assert not ends(story, "READY", model)


def test_the_status_of_an_unknown_model_looks_for_no_names_that_are_like_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 such fields, which cost little by their estimate, held up the event loop for 80 ms."""
    monkeypatch.setattr(difflib, "get_close_matches", None)
    story = Story()
    story.see(0.0, ONE)
    status = ask(story.snapshot, '{ modelStatus(model: "tiny-llam") { found modelId } }').data["modelStatus"]
    assert status == {"found": False, "modelId": "tiny-llam"}
