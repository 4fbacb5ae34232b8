"""Downloads: what is listed, resumed, cancelled, failed and forgotten."""

from typing import Any

import pytest

from exo_graphql.simulator import Fault, default_scenario
from exo_graphql.simulator.scenario import DOWNLOADING_MODEL
from tests.simulator.conftest import Exo

pytestmark = pytest.mark.anyio


async def _entry(exo: Exo, node: str, model_id: str) -> tuple[str, dict[str, Any]]:
    """The tag and fields under which a node lists a model."""
    for one in (await exo.http.get(f"/state/downloads/{node}")).json():
        ((tag, fields),) = one.items()
        (shard,) = fields["shardMetadata"].values()
        if shard["modelCard"]["modelId"] == model_id:
            return tag, fields
    raise AssertionError("not listed")


async def _start(exo: Exo, node: str, model_id: str) -> None:
    _, fields = await _entry(exo, node, model_id)
    body = {"target_node_id": node, "shard_metadata": fields["shardMetadata"]}
    assert (await exo.http.post("/download/start", json=body)).json().keys() == {"commandId"}
    exo.control.advance(0.1)


async def test_every_card_is_listed_on_every_node(tiny: Exo) -> None:
    state = await tiny.state()
    for entries in state["downloads"].values():
        assert len(entries) == len(tiny.control.cards)
        assert [next(iter(one)) for one in entries].count("DownloadPending") == 2  # test/absent, test/huge


async def test_a_download_goes_at_the_nodes_rate_and_completes(tiny: Exo) -> None:
    node = tiny.control.node_id("node-1")
    await _start(tiny, node, "test/absent")
    tag, fields = await _entry(tiny, node, "test/absent")
    assert (tag, fields["downloadProgress"]["downloaded"]) == ("DownloadOngoing", {"inBytes": 0})
    tiny.control.advance(2.0)
    _, fields = await _entry(tiny, node, "test/absent")
    progress = fields["downloadProgress"]
    assert progress["downloaded"]["inBytes"] == progress["downloadedThisSession"]["inBytes"] == 600_000_000
    assert progress["speed"] == 300e6
    left = progress["total"]["inBytes"] - 600_000_000
    assert progress["etaMs"] == round(left / 300e6 * 1000)
    assert progress["totalFiles"] == len(progress["files"]) == 4
    assert sum(one["downloaded"]["inBytes"] for one in progress["files"].values()) == 600_000_000
    tiny.control.advance(4.0)
    tag, fields = await _entry(tiny, node, "test/absent")
    assert (tag, fields["total"]["inBytes"]) == ("DownloadCompleted", progress["total"]["inBytes"])


async def test_a_cancelled_download_keeps_what_has_arrived_and_continues_from_it(tiny: Exo) -> None:
    node = tiny.control.node_id("node-1")
    await _start(tiny, node, "test/absent")
    tiny.control.advance(3.0)
    await tiny.http.post("/download/cancel", json={"target_node_id": node, "model_id": "test/absent"})
    tiny.control.advance(0.1)
    tag, fields = await _entry(tiny, node, "test/absent")
    assert (tag, fields["downloaded"]["inBytes"]) == ("DownloadPending", 900_000_000)
    await _start(tiny, node, "test/absent")
    tiny.control.advance(1.0)
    _, fields = await _entry(tiny, node, "test/absent")
    assert fields["downloadProgress"]["downloaded"]["inBytes"] == 1_200_000_000
    assert fields["downloadProgress"]["downloadedThisSession"]["inBytes"] == 300_000_000


async def test_deleting_an_instance_cancels_its_download(tiny: Exo) -> None:
    node = tiny.control.node_id("node-1")
    instance = await tiny.place("test/absent")
    tiny.control.advance(2.0)
    assert (await _entry(tiny, node, "test/absent"))[0] == "DownloadOngoing"
    await tiny.http.delete(f"/instance/{instance}")
    tiny.control.advance(0.1)
    tag, fields = await _entry(tiny, node, "test/absent")
    assert tag == "DownloadPending"
    assert fields["downloaded"]["inBytes"] > 0


async def test_deleting_any_instance_cancels_every_download_that_no_instance_needs() -> None:
    exo = Exo(default_scenario())
    async with exo.http:
        node = exo.control.node_id("Mac Studio 1")
        assert (await _entry(exo, node, DOWNLOADING_MODEL))[0] == "DownloadOngoing"
        (instance,) = (await exo.state())["instances"]
        await exo.http.delete(f"/instance/{instance}")
        exo.control.advance(0.1)
        assert (await _entry(exo, node, DOWNLOADING_MODEL))[0] == "DownloadPending"


async def test_deleting_the_files_leaves_a_running_instance_running(tiny: Exo) -> None:
    instance = await tiny.ready("test/tiny-a")
    (node,) = next(iter((await tiny.http.get(f"/instance/{instance}")).json().values()))["hostsByNode"]
    await tiny.http.delete(f"/download/{node}/test/tiny-a")
    tiny.control.advance(0.1)
    tag, fields = await _entry(tiny, node, "test/tiny-a")
    assert (tag, fields["downloaded"], fields["total"]) == ("DownloadPending", {"inBytes": 0}, {"inBytes": 0})
    assert await tiny.statuses(instance) == ["RunnerReady"]


async def test_a_failed_download_is_pending_again_within_a_minute(tiny: Exo) -> None:
    node = tiny.control.node_id("node-1")
    tiny.control.inject(Fault("download-fails", "absent", count=1))
    await _start(tiny, node, "test/absent")
    tiny.control.advance(1.5)
    tag, fields = await _entry(tiny, node, "test/absent")
    assert tag == "DownloadFailed"
    assert fields["errorMessage"]
    await _start(tiny, node, "test/absent")
    assert (await _entry(tiny, node, "test/absent"))[0] == "DownloadFailed"  # not until it is pending again
    tiny.control.advance(60.0)
    assert (await _entry(tiny, node, "test/absent"))[0] == "DownloadPending"


async def test_an_instance_whose_download_failed_tries_again_and_gets_ready(tiny: Exo) -> None:
    tiny.control.inject(Fault("download-fails", "absent", count=1))
    instance = await tiny.place("test/absent")
    tiny.control.advance(2.5)
    assert await tiny.statuses(instance) == ["RunnerIdle"]
    tiny.control.advance(80)
    assert await tiny.statuses(instance) == ["RunnerReady"]


async def test_a_download_for_an_unknown_node_is_answered_and_ignored(tiny: Exo) -> None:
    before = (await tiny.state())["downloads"]
    body = {"target_node_id": "nobody", "model_id": "test/absent"}
    assert (await tiny.http.post("/download/cancel", json=body)).status_code == 200
    tiny.control.advance(1)
    assert (await tiny.state())["downloads"] == before
