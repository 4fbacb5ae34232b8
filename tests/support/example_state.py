"""A small cluster as exo's state, for tests of queries."""

from tests.support.documents import (
    GIB,
    Json,
    completed,
    document,
    failed_download,
    instance,
    ongoing,
    pending,
    runner,
    task,
)

TWO = "test/two"


def example_state() -> Json:
    """Two nodes; one model ready on both, one loading; downloads and tasks of every kind."""
    return document(
        ["n1", "n2"],
        [instance("i1", {"n1": "r1", "n2": "r2"}), instance("i2", {"n2": "r3"}, TWO)],
        {
            "r1": runner("Ready", prefillServerPort=None),
            "r2": runner("Running"),
            "r3": runner("Loading", layersLoaded=2, totalLayers=8),
        },
        {
            "n1": [completed(), ongoing("test/three", GIB), pending("test/four")],
            "n2": [completed(), completed(TWO), pending("test/three", 5), failed_download("full", "test/four")],
        },
        {
            "t1": task("TextGeneration", "i1", commandId="c1", taskParams={"input": "a secret"}),
            "t2": task("LoadModel", "i2"),
            "t3": task("StartWarmup", "i1", "Complete"),
            "t4": task("TextGeneration", "gone", commandId="c2"),
        },
    )
