"""The same requests get the answers that a real exo gave to them."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from exo_graphql.simulator.cards import Card
from exo_graphql.simulator.scenario import Interface, Machine, Scenario, tiny_scenario
from tests.simulator.conftest import Exo

pytestmark = pytest.mark.anyio

_RIG_IDS = ("e2ae9f259489b07395e9b23193412e4f", "dd3ba6073cc2cd0d7e33304bcb2096e4")


def _card(name: str, size: int, layers: int, family: str = "llama", hidden: int = 64) -> Card:
    return Card(
        model_id=f"rig/{name}",
        storage_bytes=size,
        layers=layers,
        hidden_size=hidden,
        kv_heads=4,
        supports_tensor=True,
        family=family,
        quantization="fp32",
        base_model=name,
        capabilities=("text",),
        reasoning_dialect="none",
        context_length=4096,
    )


def _machine(name: str, address: str, available: int) -> Machine:
    return Machine(
        name=name,
        model="Mac Studio",
        chip="Apple M3 Ultra",
        os_version="Linux",
        os_build="Unknown",
        ram=available + 10**9,
        os_used=10**9,
        disk=10**12,
        backends=("MlxCpu",),
        interfaces=(Interface("en0", address, "ethernet"),),
        mac=False,
    )


@pytest.fixture
async def rig() -> AsyncIterator[Exo]:
    """The cluster of two nodes from which the answers were recorded."""
    exo = Exo(
        Scenario(
            machines=(_machine("mac-1", "10.0.0.1", 24_500_000_001), _machine("mac-2", "10.0.0.2", 24_500_000_000)),
            cards=(
                _card("fake-2tb", 2_000_000_000_000, 80, hidden=8192),
                _card("tiny-llama-a", 1_577_216, 8),
                _card("tiny-qwen-b", 2_236_160, 12, "qwen"),
                _card("dl-slow", 1_577_216, 8),
            ),
            api="mac-1",
            master="mac-2",
            weights={"rig/tiny-llama-a": ("mac-1", "mac-2"), "rig/tiny-qwen-b": ("mac-1", "mac-2")},
            steady=True,
        )
    )
    async with exo.http:
        yield exo


def _likeness(value: Any) -> Any:
    """The value without what chance decides: ids, ports, times, node ids; addresses by their last number."""
    if isinstance(value, dict):
        return {_likeness(key): _likeness(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_likeness(one) for one in value]
    if isinstance(value, str):
        value = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", value)
        return re.sub(r"(?:127|10)\.0\.0\.(\d)", r"net.\1", value)
    if isinstance(value, int) and 49152 <= value <= 65535:
        return "PORT"
    return value


_CALLS = [
    "node_id",
    "placement_one_node",
    "placement_two_nodes",
    "placement_tensor",
    "placement_too_large",
    "placement_too_many_nodes",
    "placement_jaccl",
    "placement_bad_enum",
    "previews",
    "previews_too_large",
    "place_impossible",
    "get_unknown_instance",
    "create_missing_field",
    "place_missing_field",
    "state_bad_path",
    "state_topology",
    "unknown_route",
    "download_start_missing",
    "download_start",
    "download_cancel",
    "download_delete",
    "cancel_unknown",
    "chat_no_instance",
    "instance_links",
    "feature_flags",
]


@pytest.mark.parametrize("name", _CALLS)
async def test_a_call_is_answered_as_exo_answered_it(rig: Exo, answers: dict[str, Any], name: str) -> None:
    call = answers[name]
    ours = [rig.control.node_id("mac-1"), rig.control.node_id("mac-2")]

    def swap(text: str, before: list[str], after: list[str]) -> str:
        for old, new in zip(before, after, strict=True):
            text = text.replace(old, new)
        return text

    method, path = swap(call["request"], list(_RIG_IDS), ours).split(" ", 1)
    body = None if call["body"] is None else json.loads(swap(json.dumps(call["body"]), list(_RIG_IDS), ours))
    answer = await rig.http.request(method, path, json=body)
    assert answer.status_code == call["status"]
    assert answer.headers["content-type"] == call["content_type"]
    text = swap(answer.text, ours, list(_RIG_IDS))
    assert _likeness(json.loads(text)) == _likeness(call["answer"])


async def test_models_are_listed_as_exo_lists_them(rig: Exo, answers: dict[str, Any]) -> None:
    listed = {one["id"]: one for one in (await rig.http.get("/models")).json()["data"]}
    recorded = {one["id"]: one for one in answers["models"]["answer"]["data"]}
    for model_id, ours in listed.items():
        assert {**ours, "created": 0} == {**recorded[model_id], "created": 0}


async def test_an_instance_is_created_read_and_deleted_as_on_exo(rig: Exo, answers: dict[str, Any]) -> None:
    document = (await rig.http.get("/instance/placement?model_id=rig/tiny-llama-a&min_nodes=2")).json()
    instance_id = document["MlxRingInstance"]["instanceId"]
    created = await rig.http.post("/instance", json={"instance": document})
    assert _likeness(created.json()) == _likeness(answers["create_instance"]["answer"])
    rig.control.advance(0.1)
    assert (await rig.http.get(f"/instance/{instance_id}")).json() == document

    for expected in ("delete_instance", "delete_again"):
        deleted = await rig.http.delete(f"/instance/{instance_id}")
        assert deleted.status_code == answers[expected]["status"] == 200
        assert _likeness(deleted.json()) == _likeness(answers[expected]["answer"])
    rig.control.advance(0.1)
    third = await rig.http.delete(f"/instance/{instance_id}")
    assert third.status_code == 404
    assert third.json() == answers["delete_third"]["answer"]


async def test_a_document_that_is_no_instance_is_refused_with_422(tiny: Exo) -> None:
    document = (await tiny.http.get("/instance/placement?model_id=test/tiny-a")).json()
    del document["MlxRingInstance"]["hostsByNode"]
    assert (await tiny.http.post("/instance", json={"instance": document})).status_code == 422
    assert (await tiny.http.post("/instance", json={"instance": {"Nope": {}}})).status_code == 422


async def test_creating_what_the_cluster_cannot_hold_is_refused_by_the_sum_alone(tiny: Exo) -> None:
    document = (await tiny.http.get("/instance/placement?model_id=test/tiny-a")).json()
    document["MlxRingInstance"]["shardAssignments"]["modelId"] = "test/huge"
    answer = await tiny.http.post("/instance", json={"instance": document})
    assert answer.status_code == 400
    message = "Insufficient memory to create instance. Required: 2000.0GB, Available: 12.0GB"
    assert answer.json()["error"]["message"] == message


async def test_an_unknown_model_is_a_plain_500_or_a_late_400() -> None:
    exo = Exo(tiny_scenario(), speed=1000)  # 17 s are 17 ms
    async with exo.http:
        began = exo.control.now
        place = await exo.http.post("/place_instance", json={"model_id": "no/such"})
        assert (place.status_code, place.text) == (500, "Internal Server Error")
        assert place.headers["content-type"].startswith("text/plain")
        assert exo.control.now - began >= 17
        placement = await exo.http.get("/instance/placement?model_id=no/such")
        assert placement.status_code == 500
        previews = await exo.http.get("/instance/previews?model_id=no/such")
        assert previews.status_code == 400
        assert previews.json()["error"]["message"].startswith("Failed to load model card: ")


async def test_a_path_of_the_state_has_the_part_and_other_times(tiny: Exo) -> None:
    whole = await tiny.state()
    assert (await tiny.http.get("/state/nodeMemory")).json() == whole["nodeMemory"]
    assert (await tiny.http.get("/state/topology/nodes/0")).json() == whole["topology"]["nodes"][0]
    assert (await tiny.http.get("/state/")).json().keys() == whole.keys()
    assert all(seen.endswith("Z") for seen in whole["lastSeen"].values())
    assert all(seen.endswith("+00:00") for seen in (await tiny.http.get("/state/lastSeen")).json().values())


async def test_only_downloaded_models_are_listed_on_request(tiny: Exo) -> None:
    listed = (await tiny.http.get("/models?status=downloaded")).json()["data"]
    assert {one["id"] for one in listed} == {
        "test/tiny-a",
        "test/tiny-b",
        "test/tiny-c",
        "test/half",
        "test/other-half",
    }
