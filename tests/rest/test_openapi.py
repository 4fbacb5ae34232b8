"""`/openapi.json` is valid, and true: every route gives each of its statuses, and every answer is as described."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import orjson
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from exo_graphql.rest.openapi import description
from exo_graphql.rest.routes import ROUTES, Route
from exo_graphql.schema.build import build_schema
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.rest.stated_exo import client_of, over
from tests.support.documents import document, instance, runner
from tests.support.leaders import break_off, leading
from tests.support.leaderships import Directed, directed, replica
from tests.support.own_time import OWN_TIME, Backend
from tests.support.running import A, B, running

pytestmark = pytest.mark.anyio

SPEC = orjson.loads(orjson.dumps(description(build_schema())))
TOKENS = "read:reading-secret,operate:operating-secret"
READING, OPERATING = ({"authorization": f"Bearer {each}-secret"} for each in ("reading", "operating"))
BODIES: Mapping[str, dict[str, object]] = {
    "load": {"model_id": A},
    "swap": {"unload_model_id": A, "load_model_id": B},
}
READS = [route for route in ROUTES if route.method == "GET"]
ACTS = [route for route in ROUTES if route.method != "GET"]

EVENTS = {"accept": "text/event-stream"}

Seen = set[tuple[str, int]]


async def ask(
    client: httpx.AsyncClient,
    route: Route,
    seen: Seen,
    expected: int,
    *,
    node: str = "mini-1",
    model: str = A,
    body: Mapping[str, object] | None = None,
    **more: Any,
) -> Any:
    """The body of an answer, which is as described."""
    path = route.path.replace("{node_id}", node).replace("{model_id}", model)
    if route.body and "content" not in more:
        more["json"] = BODIES[route.document] if body is None else body
    answer = await client.request(route.method, path, **more)
    assert answer.status_code == expected, (route.document, answer.text)
    described = SPEC["paths"][route.path][route.method.lower()]["responses"][str(expected)]
    if "$ref" in described:
        described = SPEC["components"]["responses"][described["$ref"].rpartition("/")[2]]
    schema = described["content"]["application/json"]["schema"]
    Draft202012Validator({"components": SPEC["components"], **schema}).validate(answer.json())
    seen.add((route.document, expected))
    return answer.json()


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return OWN_TIME


def described(status: int) -> set[tuple[str, int]]:
    """The routes that are described with this status, as `Seen` holds them."""
    operations = [operation for path in SPEC["paths"].values() for operation in path.values()]
    return {(each["operationId"], status) for each in operations if str(status) in each["responses"]}


def test_the_description_is_valid_and_written_out() -> None:
    validate(SPEC)
    # Each of these has a test below, which asks every route that is described with it.
    tested = {200, 304, 400, 401, 403, 404, 408, 409, 413, 415, 421, 422, 429, 500, 503, 504}
    assert {status for status in range(600) if described(status)} == tested
    text = orjson.dumps(SPEC)
    assert len(text) < 40_000
    for name, schema in SPEC["components"]["schemas"].items():
        for key, member in schema["properties"].items():
            assert member.get("description") or "$ref" in member or name in ("Error", "Refusal"), (name, key)


async def test_it_is_served_cheaply() -> None:
    async with running(tokens=TOKENS) as server, client_of(server) as client:
        assert (await client.get("/openapi.json")).status_code == 401
        served = await client.get("/openapi.json", headers=READING)
        assert served.json() == SPEC
        again = await client.get("/openapi.json", headers=READING | {"if-none-match": served.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (await client.head("/openapi.json", headers=READING)).status_code == 200
        refused = await client.post("/openapi.json", headers=READING)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


LOAD, SWAP, UNLOAD = (next(route for route in ACTS if route.document == name) for name in ("load", "swap", "unload"))


async def test_what_conflicts() -> None:
    seen: Seen = set()
    # At its normal speed the load lasts for seconds: it is under way until the end of this test.
    async with running(SimulatedExo(tiny_scenario(), seed=1)) as server, client_of(server) as client:
        await ask(client, LOAD, seen, 200)
        await ask(client, LOAD, seen, 409, body={"model_id": A, "min_nodes": 2})
        await ask(client, UNLOAD, seen, 409)
        error = (await ask(client, SWAP, seen, 409))["error"]
        assert error["reason"] == "OPERATION_CONFLICT"
    assert {(name, status) for name, status in seen if status == 409} == described(409)


async def test_what_is_read_and_done() -> None:
    seen: Seen = set()
    async with running(SimulatedExo(tiny_scenario(), seed=1, speed=20)) as server, client_of(server) as client:
        (node, *_) = (await client.get("/v1/cluster/nodes")).json()["nodes"]
        accepted = await ask(client, LOAD, seen, 200)
        assert accepted["model_id"] == A
        assert (accepted["instance_id"], accepted["placement"]) == (None, {})
        assert f"/v1/cluster/models/{A}/status" in accepted["message"]
        await _ended(client)
        for route in READS:
            await ask(client, route, seen, 200, node=node["node_id"])
            assert (await client.head(_path(route, node["node_id"]))).content == b""
        swapped = await ask(client, SWAP, seen, 200)
        assert (swapped["unloaded_model"], swapped["loaded_model"]) == (A, B)
        await _ended(client)
        itself = await ask(client, SWAP, seen, 200, body={"unload_model_id": B, "load_model_id": B})
        assert (itself["unloaded_model"], itself["freed_memory_gb"], itself["loaded_model"]) == ("", 0.0, B)
        assert itself["message"].startswith(f"Swapping nothing for {B}. ")
        await _ended(client)
        status = (await client.get(f"/v1/cluster/models/{B}/status")).json()
        unloaded = await ask(client, UNLOAD, seen, 200, model=B.partition("/")[2])
        assert (unloaded["model_id"], unloaded["instance_id"]) == (B, status["instance_id"])
    assert seen == described(200)


def _path(route: Route, node: str) -> str:
    return route.path.replace("{node_id}", node).replace("{model_id}", A)


async def _ended(client: httpx.AsyncClient) -> None:
    """Waits until no operation is active."""
    query = "subscription { cluster { operations { finishedAt } } }"
    async with client.stream("POST", "/graphql", json={"query": query}, headers=EVENTS) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: ") and '"finishedAt":null' not in line:
                return


async def test_what_is_unchanged_is_not_sent_again() -> None:
    seen: Seen = set()
    async with over(document(("n1",))) as (_, client):
        for route in READS:
            path = _path(route, "n1")
            etag = (await client.get(path)).headers["etag"]
            answer = await client.get(path, headers={"if-none-match": etag})
            assert (answer.status_code, answer.content) == (304, b""), route.document
            seen.add((route.document, 304))
    assert seen == described(304)


async def test_a_token_that_reads_does_nothing_else() -> None:
    seen: Seen = set()
    async with running(tokens=TOKENS) as server, client_of(server) as client:
        for route in ROUTES:
            error = (await ask(client, route, seen, 401))["error"]
            assert (error["reason"], error["type"]) == ("UNAUTHENTICATED", "Unauthorized")
        for route in ACTS:
            error = (await ask(client, route, seen, 403, headers=READING))["error"]
            assert error["reason"] == "FORBIDDEN"
            assert error["suggestion"] in error["message"]
        assert (await client.get("/v1/cluster", headers=READING)).status_code == 200
        assert server.components.operations.all() == ()
        for _ in range(11):
            await client.get("/v1/cluster", headers={"authorization": "Bearer wrong"})
        for route in ROUTES:
            error = (await ask(client, route, seen, 429, headers={"authorization": "Bearer wrong"}))["error"]
            assert error["reason"] == "TOO_MANY_FAILED_TOKENS"
    assert seen > described(401) | described(429)


async def test_a_server_that_only_reads_has_no_other_routes() -> None:
    seen: Seen = set()
    async with running(read_only=True) as server, client_of(server) as client:
        for route in ACTS:
            assert (await ask(client, route, seen, 403))["error"]["reason"] == "READ_ONLY"
        described = (await client.get("/openapi.json")).json()
        assert {method for path in described["paths"].values() for method in path} == {"get"}


async def test_the_rules_of_hosts_and_origins_hold() -> None:
    seen: Seen = set()
    async with running(allowed_origin=("https://tools.example",)) as server, client_of(server) as client:
        for route in ROUTES:
            await ask(client, route, seen, 421, headers={"host": "rebound.example"})
            await ask(client, route, seen, 403, headers={"origin": "https://other.example"})
        assert seen == described(403) | described(421)
        preflight = {"origin": "https://tools.example", "access-control-request-method": "DELETE"}
        answer = await client.options(f"/v1/cluster/models/{A}", headers=preflight)
        assert answer.status_code == 204
        assert "DELETE" in answer.headers["access-control-allow-methods"]


async def test_a_body_is_checked_field_by_field() -> None:
    seen: Seen = set()
    async with running(max_body_bytes=1000, body_timeout=0.2) as server, client_of(server) as client:
        for route in ACTS:
            if not route.body:
                continue
            name = route.body[0].name
            for body, reason in (
                ({}, f"{name} is missing"),
                (BODIES[route.document] | {name: 3}, f"{name} must be a string."),
                (BODIES[route.document] | {"min_nodes": "2"}, "min_nodes must be a whole number."),
                (BODIES[route.document] | {"min_nodes": True}, "min_nodes must be a whole number."),
                (BODIES[route.document] | {"preferred_sharding": "PIPELINE"}, "one of pipeline, tensor, auto."),
            ):
                error = (await ask(client, route, seen, 422, body=body))["error"]
                assert reason in error["message"]
            json_ = {"content-type": "application/json"}
            for content in (b"", b"[]", b"{", b'"x"'):
                await ask(client, route, seen, 422, content=content, headers=json_)
            marked = await ask(client, route, seen, 422, content=b"\xef\xbb\xbf{}", headers=json_)
            assert f"{name} is missing" in marked["error"]["message"]
            await ask(client, route, seen, 415, content=b"{}", headers={"content-type": "text/plain"})
            await ask(client, route, seen, 415, content=b"{}", headers={**json_, "content-encoding": "gzip"})
            await ask(client, route, seen, 413, content=b" " * 1001, headers=json_)

            async def endless() -> AsyncIterator[bytes]:
                yield b"{"
                await asyncio.sleep(0.4)  # the client reads no answer before it has sent everything

            await ask(client, route, seen, 408, content=endless(), headers=json_)
    assert seen == set().union(*map(described, (408, 413, 415, 422)))


async def test_a_model_or_node_that_is_not_found_is_answered_with_those_that_are_like_it() -> None:
    seen: Seen = set()
    async with running() as server, client_of(server) as client:
        for route in ROUTES:
            if route.document == "node":
                error = (await ask(client, route, seen, 404, node="nobody"))["error"]
                assert error["available"]
            elif route.document == "load":
                error = (await ask(client, route, seen, 404, body={"model_id": "tiny-aa"}))["error"]
                assert error["reason"] == "MODEL_NOT_FOUND"
                assert A in error["message"]
                assert A in error["candidates"]
            elif route in ACTS:
                error = (await ask(client, route, seen, 404))["error"]
                assert error["reason"] == "MODEL_NOT_LOADED"
                assert "No model is loaded." in error["message"]
    assert seen == described(404)


async def test_a_name_of_several_is_refused_and_so_is_what_costs_too_much() -> None:
    seen: Seen = set()
    ready = runner("Ready", prefillServerPort=None)
    twins = [instance("i1", {"n1": "r1"}, "one/same"), instance("i2", {"n2": "r2"}, "two/same")]
    state = document(("n1", "n2"), twins, {"r1": ready, "r2": ready})
    for node in ("n1", "n2"):
        state["nodeIdentities"][node]["friendlyName"] = "Mac"
    bodies = {"load": {"model_id": "same"}, "swap": {"unload_model_id": "same", "load_model_id": "one/same"}}
    async with over(state) as (_, client):
        for route in ROUTES:
            if route.document in ("node", "model_status", "load", "swap", "unload"):
                error = (
                    await ask(client, route, seen, 400, node="Mac", model="same", body=bodies.get(route.document))
                )["error"]
                assert error["reason"] == ("NODE_AMBIGUOUS" if route.document == "node" else "MODEL_AMBIGUOUS")
                assert error["candidates"]
    nodes = [f"n{number}" for number in range(20)]
    ready = {f"r{node}": runner("Ready", prefillServerPort=None) for node in nodes}
    state = document(nodes, [instance(f"i{node}", {node: f"r{node}"}, f"test/{node}") for node in nodes], ready)
    async with over(state, max_cost=100) as (_, client):
        for route in READS:
            if route.document in ("overview", "nodes", "models"):
                assert (await ask(client, route, seen, 400))["error"]["reason"] == "LIMIT_EXCEEDED"
    assert seen == described(400)


async def test_without_exo_each_route_says_so() -> None:
    seen: Seen = set()
    async with running(demo=False, exo_url="http://127.0.0.1:9", first_wait=0.1) as server, client_of(server) as client:
        for route in ROUTES:
            error = (await ask(client, route, seen, 503))["error"]
            assert error["reason"] == "CLUSTER_UNAVAILABLE"
            assert error["suggestion"]
    assert seen == described(503)


async def test_where_the_server_that_leads_breaks_off_each_route_that_acts_says_so() -> None:
    seen: Seen = set()
    state = document(["n"], [instance("i", {"n": "r"}, A)], {"r": runner("Ready", prefillServerPort=None)})
    async with leading(break_off) as leader:
        with directed(Directed("b", replica("a", leader.url, leads=True))):
            async with over(state) as (_, client):
                for route in ACTS:
                    error = (await ask(client, route, seen, 504))["error"]
                    assert error["reason"] == "OUTCOME_UNKNOWN"
                    assert "{ operations {" in error["suggestion"]
    assert seen == described(504)


async def test_a_fault_shows_only_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Seen = set()

    def broken(*_: object) -> object:
        raise KeyError("/secret/path")

    async with running() as server, client_of(server) as client:
        monkeypatch.setattr(server.components.service._budget, "check", broken)
        for route in ROUTES:
            error = (await ask(client, route, seen, 500))["error"]
            assert (error["reason"], "secret" in error["message"]) == ("INTERNAL_ERROR", False)
            assert error["errorId"]
    assert seen == described(500)


async def test_what_is_no_route_is_answered_with_the_routes() -> None:
    async with running() as server, client_of(server) as client:
        unknown = await client.get("/v1/cluster/nodes/a/b")
        assert unknown.status_code == 404
        assert len(unknown.json()["error"]["available"]) == len(ROUTES)
        for method, path, allow in (
            ("POST", "/v1/cluster", "GET, HEAD"),
            ("PUT", "/v1/cluster/models/load", "POST, DELETE"),
            ("GET", "/v1/cluster/models/x", "DELETE"),
        ):
            refused = await client.request(method, path)
            assert (refused.status_code, refused.headers["allow"]) == (405, allow)
            assert refused.json()["error"]["code"] == 405
        assert (await client.get("/v1/clusters")).status_code == 404


async def test_trusted_documents_leave_the_routes_as_they_are() -> None:
    async with running(trusted_documents=True, root_path="/exo") as server, client_of(server) as client:
        for path in ("/v1/cluster", "/exo/v1/cluster", "/v1/cluster/"):
            assert (await client.get(path)).json()["node_count"] == 2
