"""One exo node over HTTP: recorded answers of a real exo, broken answers, and none at all."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from exo_graphql.cluster.upstream import Refused, Unreachable
from exo_graphql.exo.client import Erring, ExoClient, StateBody
from exo_graphql.exo.refusals import NotFound
from tests.support.own_time import OWN_TIME, Backend
from tests.support.running import PATIENCE

pytestmark = pytest.mark.anyio

ANSWERS: dict[str, Any] = json.loads((Path(__file__).parent.parent / "data" / "answers.json").read_text())


@pytest.fixture
def anyio_backend() -> Backend:
    """Real time: these tests use sockets."""
    return OWN_TIME


def answering(status: int, body: bytes | str, seen: list[httpx.Request] | None = None) -> ExoClient:
    """A client of a node that gives this one answer."""

    def answer(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        return httpx.Response(status, content=body)

    return ExoClient("http://exo", httpx.MockTransport(answer))


def recorded(name: str, seen: list[httpx.Request] | None = None) -> ExoClient:
    answer = ANSWERS[name]["answer"]
    return answering(ANSWERS[name]["status"], answer if isinstance(answer, str) else json.dumps(answer), seen)


def sent(request: httpx.Request) -> tuple[str, Any]:
    """Method, target and body of a request, in the form that the recordings have."""
    return f"{request.method} {request.url.raw_path.decode()}", json.loads(request.content) if request.content else None


# Refusals


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("placement_too_large", "No cycles found with sufficient memory"),
        ("placement_jaccl", "No cycle where every node supports a backend in ['MlxMetal'] for rig/tiny-llama-a"),
        ("placement_bad_enum", "query.sharding: Input should be 'Tensor' or 'Pipeline'"),
        ("create_missing_field", "body.instance: Field required"),
        ("download_start_missing", "body.targetNodeId: Field required; body.shardMetadata: Field required"),
        ("unknown_route", "This release of exo has no such call."),
    ],
)
async def test_a_refusal_carries_exos_own_reason(name: str, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        await recorded(name).placement("m", "Pipeline", "MlxRing", 1)
    assert str(caught.value) == reason


async def test_only_what_changes_something_is_logged_where_exo_refuses(caplog: pytest.LogCaptureFixture) -> None:
    exo = recorded("placement_too_large")
    with caplog.at_level("INFO", "exo_graphql.exo"):
        for ask in (exo.placement("m", "Pipeline", "MlxRing", 1), exo.delete("x")):
            with pytest.raises(Refused):
                await ask
    assert [record.message.partition(":")[0] for record in caplog.records] == ["DELETE http"]


@pytest.mark.parametrize("name", ["delete_third", "cancel_unknown"])
async def test_an_unknown_id_is_distinguished_from_an_unknown_route(name: str) -> None:
    with pytest.raises(NotFound):
        await recorded(name).delete("x")
    with pytest.raises(Refused) as caught:
        await recorded("unknown_route").delete("x")
    assert not isinstance(caught.value, NotFound)


async def test_a_plain_text_refusal_is_its_text_in_one_short_line() -> None:
    with pytest.raises(Refused) as caught:
        await answering(400, "first\n\x1b[31m second " + "x" * 1000).create({})
    assert str(caught.value).startswith("first [31m second xxx")
    assert len(str(caught.value)) == 500


@pytest.mark.parametrize("body", ["<html>Bad request</html>", "", "[]", '{"error": null}', '{"error": {"message": 3}}'])
async def test_a_refusal_without_a_reason_says_so(body: str) -> None:
    with pytest.raises(Refused, match=r"exo refused without a reason \(status 400\)"):
        await answering(400, body).create({})


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, "Internal Server Error"), (503, ""), (302, ""), (200, "<html>"), (200, '{"cut": '), (200, "[]"), (204, "")],
)
async def test_an_answer_that_is_not_exos_is_unreachable(status: int, body: str) -> None:
    with pytest.raises(Unreachable) as caught:
        await answering(status, body).create({})
    assert "http" not in str(caught.value)


async def test_previews_without_a_list_are_unreachable() -> None:
    with pytest.raises(Erring):
        await answering(200, '{"previews": {}}').previews("m")


@pytest.mark.parametrize(("status", "body"), [(404, "x"), (500, "x"), (200, "<html>"), (200, "{}"), (200, '""')])
async def test_a_node_that_does_not_report_its_id_has_none(status: int, body: str) -> None:
    assert await answering(status, body).node_id(1.0) is None


async def test_a_node_reports_its_id() -> None:
    assert await answering(200, json.dumps(ANSWERS["node_id"]["answer"])).node_id(1.0) == ANSWERS["node_id"]["answer"]


# Requests, compared with the recorded ones


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("delete_instance", lambda exo, _: exo.delete("bd9dbf49-cf14-4ef0-b1b0-e5d29ca423e2")),
        ("create_instance", lambda exo, body: exo.create(body["instance"])),
        ("download_start", lambda exo, body: exo.start_download(body["target_node_id"], body["shard_metadata"])),
        ("download_cancel", lambda exo, body: exo.cancel_download(body["target_node_id"], body["model_id"])),
        ("download_delete", lambda exo, _: exo.delete_download("e2ae9f259489b07395e9b23193412e4f", "rig/dl-slow")),
        ("cancel_unknown", lambda exo, _: exo.cancel_task("nope")),
    ],
)
async def test_a_command_is_sent_as_exo_takes_it(name: str, ask: Callable[[ExoClient, Any], Awaitable[None]]) -> None:
    seen: list[httpx.Request] = []
    body = ANSWERS[name]["body"]
    try:
        await ask(recorded(name, seen), body)
    except NotFound:
        assert name == "cancel_unknown"
    assert [sent(request) for request in seen] == [(ANSWERS[name]["request"], body)]


async def test_a_placement_is_requested_and_its_document_returned() -> None:
    seen: list[httpx.Request] = []
    document = await recorded("placement_tensor", seen).placement("rig/tiny-qwen-b", "Tensor", "MlxRing", 2)
    assert document == ANSWERS["placement_tensor"]["answer"]
    assert dict(seen[0].url.params) == {
        "model_id": "rig/tiny-qwen-b",
        "sharding": "Tensor",
        "instance_meta": "MlxRing",
        "min_nodes": "2",
    }


async def test_previews_on_several_nodes_repeat_the_parameter() -> None:
    seen: list[httpx.Request] = []
    previews = await recorded("previews", seen).previews("rig/tiny-qwen-b", ["n1", "n2"])
    assert previews == ANSWERS["previews"]["answer"]["previews"]
    assert seen[0].url.params.multi_items() == [("model_id", "rig/tiny-qwen-b"), ("node_ids", "n1"), ("node_ids", "n2")]


@pytest.mark.parametrize("id_", ["..", ".", "x?y#z", "a b", "i1%2F..", "é", "..%2F..", "v1.2"])
async def test_an_id_of_any_characters_is_one_segment_of_a_path(id_: str) -> None:
    seen: list[httpx.Request] = []
    exo = recorded("delete_instance", seen)
    await exo.delete(id_)
    await exo.cancel_task(id_)
    await exo.delete_download("n1", id_)
    for request, prefix in zip(seen, ("/instance/", "/v1/cancel/", "/download/n1/"), strict=True):
        target = request.url.raw_path.decode()
        segment = target.removeprefix(prefix)
        assert segment != target
        assert unquote(segment) == id_
        assert not set("/.?#") & set(segment)


@pytest.mark.parametrize("id_", ["", "../state", "../../instance/i1", "a/b", "/", "i1/"])
async def test_an_id_that_exo_would_read_as_several_segments_is_refused(id_: str) -> None:
    seen: list[httpx.Request] = []
    exo = recorded("delete_instance", seen)
    for ask in (exo.delete(id_), exo.cancel_task(id_), exo.delete_download(id_, "m")):
        with pytest.raises(Refused, match="cannot address"):
            await ask
    assert seen == []


@pytest.mark.parametrize("model", ["../../instance/i1", "a/../../../instance/i1", "./x", "a//b", "/", "mlx/Qwen3.5"])
async def test_a_model_id_stays_the_end_of_its_path(model: str) -> None:
    """Decoded as exo's server does it: the request reaches the right route, with the model's whole name."""
    reached: list[str] = []
    app = FastAPI()

    @app.delete("/download/{node_id}/{model_id:path}")
    async def delete_download(node_id: str, model_id: str) -> dict[str, str]:
        reached.append(f"{node_id} {model_id}")
        return {"commandId": "c"}

    @app.delete("/instance/{instance_id}")
    async def delete_instance(instance_id: str) -> dict[str, str]:
        reached.append(f"instance {instance_id}")
        return {}

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(PATIENCE):
        while not server.started:  # noqa: ASYNC110 (uvicorn has no event)
            await asyncio.sleep(0.01)
        exo = ExoClient(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
        await exo.delete_download("n1", model)
        await exo.aclose()
        server.should_exit = True
        await serving
    assert reached == [f"n1 {model}"]


async def test_exo_is_asked_not_to_compress() -> None:
    seen: list[httpx.Request] = []
    await recorded("delete_instance", seen).delete("i1")
    assert seen[0].headers["accept-encoding"] == "identity"


def test_the_url_is_shown_without_credentials() -> None:
    assert ExoClient("http://user:secret@exo:52415/").url == "http://exo:52415"


async def test_the_credentials_and_the_path_of_a_url_go_into_each_request() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=b"{}", headers={"set-cookie": "a=b"})

    exo = ExoClient("http://us%40er:s%3Acret@exo:52415/one/", httpx.MockTransport(answer))
    await exo.state(1.0)
    await exo.delete("i.1")
    assert [str(request.url.raw_path, "ascii") for request in seen] == ["/one/state", "/one/instance/i%2E1"]
    for request in seen:
        assert request.headers["host"] == "exo:52415"
        assert request.headers["authorization"] == "Basic " + b64encode(b"us@er:s:cret").decode()
        assert "cookie" not in request.headers
    # The server's own name, not its library's, in exo's access log.
    assert seen[0].headers["user-agent"].startswith("exo-graphql/")


# ETags


async def test_a_state_that_exo_has_sent_before_is_not_sent_again() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers.get("if-none-match") == '"7"':
            return httpx.Response(304, headers={"etag": '"7"'})
        return httpx.Response(200, content=b"{}", headers={"etag": '"7"'})

    exo = ExoClient("http://exo", httpx.MockTransport(answer))
    first = await exo.state(1.0)
    assert first == StateBody(b"{}", '"7"')
    assert await exo.state(1.0, first.etag) == StateBody(None, '"7"')
    assert (await exo.state(1.0, '"6"')).body == b"{}"


async def test_an_etag_that_does_not_name_this_very_state_is_not_used() -> None:
    weak = httpx.MockTransport(lambda _: httpx.Response(200, content=b"{}", headers={"etag": 'W/"7"'}))
    assert (await ExoClient("http://exo", weak).state(1.0)).etag is None
    assert (await answering(200, "{}").state(1.0)).etag is None


async def test_a_304_to_a_request_without_an_etag_is_unreachable() -> None:
    with pytest.raises(Erring):
        await answering(304, "").state(1.0)
