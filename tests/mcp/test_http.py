"""`/mcp` as an agent uses it, by the SDK's own client, in both eras of the protocol."""

import asyncio
import importlib.util
import sys
from typing import Any

import httpx
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from exo_graphql.cli.client import Client
from exo_graphql.cli.mcp_command import ServerGraph
from exo_graphql.mcp.tools import TOOLS
from tests.mcp.conftest import ERAS, TOKENS, agent, server
from tests.support.running import PATIENCE, until

pytestmark = pytest.mark.anyio

A, B, HALF, OTHER = "test/tiny-a", "test/tiny-b", "test/half", "test/other-half"
READING = {tool.name for tool in TOOLS if not tool.operators_only}


@pytest.mark.parametrize("era", ERAS)
async def test_an_agent_finds_plans_applies_waits_and_verifies_in_5_calls_and_4000_tokens(era: str) -> None:
    async with server() as made, agent(made, era) as a:
        found = await a.call("find_models", search="tiny", fits=True)
        assert found["total"] == 3
        plan = await a.call("plan", load=[found["models"][0]["id"]])
        assert plan["fits"]
        applied = await a.call("apply", hash=plan["hash"])
        waited = await a.call("wait", operation=applied["operation"]["id"])
        assert (waited["done"], waited["operation"]["state"]) == (True, "SUCCEEDED")
        assert (await a.call("model_status", model="tiny-a"))["ready"]
        assert a.calls == 5
        assert a.tokens <= 4_000
        assert a.progress == sorted(set(a.progress)) != []
        again = await a.call("apply", hash=plan["hash"])
        assert again["operation"]["id"] == applied["operation"]["id"]
        assert len((await a.call("operation"))["operations"]) == 1


async def test_an_agent_recovers_from_a_swap_that_is_rolled_back() -> None:
    async with server(f"load-fails:{OTHER}") as made, agent(made) as a:
        for names in ({"load": [HALF]}, {"load": [OTHER], "unload": [HALF]}):
            plan = await a.call("plan", **names)
            applied = await a.call("apply", hash=plan["hash"])
            waited = await a.call("wait", operation=applied["operation"]["id"], seconds=120)
        assert waited["operation"]["state"] == "ROLLED_BACK"
        assert waited["operation"]["error"]["code"] == "LOAD_FAILED"
        assert waited["operation"]["unloads"] == [{"id": HALF, "loaded": True, "ready": True}]
        status = await a.call("model_status", model=OTHER)
        assert status["final"]
        assert status["failure"]
        plan = await a.call("plan", load=[B])
        applied = await a.call("apply", hash=plan["hash"])
        assert (await a.call("wait", operation=applied["operation"]["id"]))["operation"]["state"] == "SUCCEEDED"
        assert a.tokens <= 4_000


async def test_a_plan_that_is_outdated_comes_back_as_it_is_now() -> None:
    async with server() as made, agent(made) as a:
        plan = await a.call("plan", load=[A])
        assert made.exo.control.place(A) is not None
        error = await a.refused("apply", hash=plan["hash"])
        assert error["code"] == "PLAN_OUTDATED"
        assert error["plan"]["hash"] != plan["hash"]
        assert (await a.refused("apply", hash="nonsense"))["code"] == "INVALID_ARGUMENT"


async def test_the_reading_tools_change_nothing() -> None:
    async with server() as made, agent(made) as a:
        version = made.components.operations.version, made.components.deployments.version
        commands = made.exo.control.requests.copy()
        for tool, arguments in (
            ("overview", {}),
            ("find_models", {"first": 1}),
            ("model_status", {"model": "nonsense"}),
            ("plan", {"load": [HALF], "unload": [A]}),
            (
                "plan_deployment",
                {"name": "night", "model": A, "schedule": [{"cron": "0 23 * * *", "durationMinutes": 9}]},
            ),
            ("wait", {"model": A, "seconds": 0}),
            ("operation", {}),
            ("deployments", {}),
            ("events", {"last": 2, "severity": ["ERROR"]}),
            ("graphql", {"query": "query ($n: Int) { nodes { id } }", "variables": {"n": 1}}),
        ):
            if tool == "graphql":
                assert (await a.refused(tool, **arguments))["code"] == "GRAPHQL_VALIDATION_FAILED"
                arguments = {"query": "{ nodes { id } }"}
            await a.call(tool, **arguments)
        assert (made.components.operations.version, made.components.deployments.version) == version
        sent = made.exo.control.requests - commands
        assert {method for method, _ in sent} <= {"GET"}


async def test_a_deployment_is_planned_and_applied_by_its_hash_and_an_operation_cancelled() -> None:
    async with server() as made, agent(made) as a:
        planned = await a.call("plan_deployment", name="night", model="tiny-a")
        assert (await a.call("deployments"))["deployments"] == []
        applied = await a.call("apply", hash=planned["plan"]["hash"])
        assert (applied["operation"], applied["deployment"]["name"]) == (None, "night")
        waited = await a.call("wait", model="tiny-a")
        assert (waited["done"], waited["model"]["ready"]) == (True, True)
        plan = await a.call("plan", load=["half"])
        operation = (await a.call("apply", hash=plan["hash"]))["operation"]
        assert (await a.call("cancel", operation=operation["id"]))["operation"]["id"] == operation["id"]
        ended = await a.call("wait", operation=operation["id"])
        assert ended["operation"]["state"] == "CANCELLED"
        assert (await a.refused("cancel", operation=operation["id"]))["code"] == "OPERATION_FINISHED"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("agrees", [True, False])
async def test_a_person_is_asked_before_something_changes_where_the_client_can(era: str, *, agrees: bool) -> None:
    asked: list[str] = []

    async def ask(_: object, params: Any) -> types.ElicitResult:
        asked.append(params.message)
        return types.ElicitResult(action="accept" if agrees else "decline", content={} if agrees else None)

    async with server() as made, agent(made, era, elicitation_callback=ask) as a:
        plan = await a.call("plan", load=[A])
        if agrees:
            await a.call("apply", hash=plan["hash"])
        else:
            assert (await a.refused("apply", hash=plan["hash"]))["code"] == "DECLINED"
        assert f"place {A} on" in asked[0]
        assert len(asked) == 1
        assert bool(made.components.operations.all()) is agrees
        if agrees:
            # A call that is sent again does nothing, asks nothing, and is answered with the same operation.
            await a.call("wait", model=A)
            unload = (await a.call("plan", unload=[A]))["hash"]
            operation = (await a.call("apply", hash=unload))["operation"]
            await a.call("wait", operation=operation["id"])
            assert (await a.call("apply", hash=unload))["operation"]["id"] == operation["id"]
            assert len(asked) == 2


async def test_a_token_to_read_sees_and_can_call_the_reading_tools_alone() -> None:
    async with server(tokens=TOKENS) as made:
        async with agent(made, token="a-secret-to-read") as a:
            assert {tool.name for tool in (await a.client.list_tools()).tools} == READING
            plan = await a.call("plan", load=[A])
            for tool, arguments in (
                ("apply", {"hash": plan["hash"]}),
                ("cancel", {"operation": "x"}),
                ("plan_deployment", {"name": "x", "model": A}),
            ):
                assert (await a.refused(tool, **arguments))["code"] == "FORBIDDEN"
            for query in ("mutation { cancelTask(id: 1) { error { code } } }", "subscription { nodes { id } }"):
                assert (await a.refused("graphql", query=query))["code"] == "READ_ONLY"
            assert made.components.operations.all() == ()
        async with agent(made, token="a-secret-to-operate") as a:
            assert len((await a.client.list_tools()).tools) == len(TOOLS)


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("nonsense", {}, "TOOL_NOT_FOUND"),
        ("overview", {"x": 1}, "INVALID_ARGUMENT"),
        ("model_status", {}, "INVALID_ARGUMENT"),
        ("model_status", {"model": 5}, "BAD_USER_INPUT"),
        ("find_models", {"first": "x"}, "INVALID_ARGUMENT"),
        ("wait", {"model": A, "seconds": 1.5}, "INVALID_ARGUMENT"),
        ("wait", {"model": A, "operation": "x"}, "INVALID_ARGUMENT"),
        ("wait", {"operation": "x"}, "OPERATION_NOT_FOUND"),
        ("operation", {"id": "x"}, "OPERATION_NOT_FOUND"),
        ("events", {"last": 0}, "INVALID_ARGUMENT"),
        ("graphql", {"query": 5}, "INVALID_ARGUMENT"),
        ("graphql", {"query": "{ nope }"}, "GRAPHQL_VALIDATION_FAILED"),
        (
            "graphql",
            {"query": "{ __schema { types { name description fields { name description type { name } } } } }"},
            "RESULT_TOO_LARGE",
        ),
    ],
)
async def test_a_wrong_call_is_a_result_that_says_what_to_do(tool: str, arguments: dict[str, Any], code: str) -> None:
    async with server() as made, agent(made) as a:
        error = await a.refused(tool, **arguments)
        assert (error["code"], bool(error["message"])) == (code, True)


async def test_a_server_that_only_reads_has_the_reading_tools_alone() -> None:
    async with server(read_only=True) as made, agent(made) as a:
        assert {tool.name for tool in (await a.client.list_tools()).tools} == READING


async def test_a_server_that_executes_trusted_documents_alone_has_no_tool_for_other_queries() -> None:
    async with server(trusted_documents=True) as made, agent(made) as a:
        listed = {tool.name for tool in (await a.client.list_tools()).tools}
        assert {tool.name for tool in TOOLS} - listed == {"graphql"}
        assert (await a.call("overview"))["healthy"] is True
        async with Client(made.url) as client:  # as `exo-graphql mcp` finds out
            assert await ServerGraph(client).may_query() is False


async def test_tokens_hosts_and_origins_are_checked_as_for_graphql() -> None:
    async with server(tokens=TOKENS) as made, httpx.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{made.port}/mcp"
        good = {"authorization": "Bearer a-secret-to-read"}
        for headers, status, code in (
            ({}, 401, "UNAUTHENTICATED"),
            ({"authorization": "Bearer nonsense"}, 401, "UNAUTHENTICATED"),
            ({**good, "origin": "https://evil.example"}, 403, "ORIGIN_NOT_ALLOWED"),
            ({**good, "host": "evil.example"}, 421, "HOST_NOT_ALLOWED"),
        ):
            answer = await http.post(url, json={}, headers=headers)
            assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (status, code)
        too_large = await http.post(url, content=b" " * 2_000_000, headers={**good, "content-type": "application/json"})
        assert too_large.status_code == 413


@pytest.mark.parametrize("found", [False, True], ids=["absent", "of another version"])
async def test_without_the_sdk_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, found: bool
) -> None:
    find = importlib.util.find_spec
    if found:
        monkeypatch.setitem(sys.modules, "mcp.server.streamable_http_manager", None)  # cannot be imported
    else:
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *rest: None if name == "mcp" else find(name, *rest)
        )
    async with server() as made, httpx.AsyncClient(trust_env=False) as http:
        for _ in range(2):
            answer = await http.post(f"http://127.0.0.1:{made.port}/mcp", json={})
            assert answer.status_code == 501
        assert "exo-graphql[mcp]" in answer.json()["errors"][0]["extensions"]["suggestion"]
    assert caplog.text.count("Traceback") == found


# Resources and prompts


async def test_the_cluster_models_and_operations_are_resources() -> None:
    async with server() as made, agent(made) as a:
        plan = await a.call("plan", load=[A])
        id_ = (await a.call("apply", hash=plan["hash"]))["operation"]["id"]
        listed = {str(r.uri) for r in (await a.client.list_resources()).resources}
        assert "exo://cluster" in listed
        for uri, part in (
            ("exo://cluster", '"healthy":true'),
            (f"exo://models/{A}", f'"id":"{A}"'),
            ("exo://models/tiny-b", f'"id":"{B}"'),
            (f"exo://operations/{id_}", '"steps"'),
        ):
            (content,) = (await a.client.read_resource(uri)).contents
            assert part in getattr(content, "text", ""), uri
        for uri in ("exo://nothing", "exo://models/nonsense", "exo://operations/nonsense"):
            with pytest.raises(MCPError, match=r"resource|No model"):
                await a.client.read_resource(uri)


async def test_changes_of_resources_are_notified_on_the_stream_that_listens() -> None:
    async with server() as made, agent(made) as a:
        uri = f"exo://models/{A}"
        async with asyncio.timeout(PATIENCE), a.client.listen(resource_subscriptions=[uri, "exo://nothing"]) as events:
            assert made.exo.control.place(A) is not None
            async for event in events:
                assert getattr(event, "uri", None) == uri
                break


async def test_changes_of_resources_are_notified_in_a_session_of_an_older_revision() -> None:
    changed: list[str] = []

    async def noted(message: object) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            changed.append(str(message.params.uri))

    async with server() as made:
        async with agent(made, "legacy", message_handler=noted) as a:
            for uri in ("exo://cluster", f"exo://models/{A}"):
                await a.client.subscribe_resource(uri)
            assert made.exo.control.place(A) is not None
            await until(lambda: {"exo://cluster", f"exo://models/{A}"} <= set(changed))
            await a.client.unsubscribe_resource("exo://cluster")
            with pytest.raises(MCPError):
                await a.client.subscribe_resource("exo://nothing")
        # What a session follows ends with it.
        await until(lambda: made.components.service.live.subscriber_count == 0)


async def test_prompts_name_the_tools() -> None:
    async with server() as made, agent(made) as a:
        offered = (await a.client.list_prompts()).prompts
        assert {prompt.name for prompt in offered} == {"free_memory", "day_and_night", "why_not_ready"}
        given = {"model": A, "day": A, "night": B, "time_zone": "Europe/Berlin"}
        for prompt in offered:
            arguments = {argument.name: given[argument.name] for argument in prompt.arguments or ()}
            (message,) = (await a.client.get_prompt(prompt.name, arguments)).messages
            text = getattr(message.content, "text", "")
            assert A in text
            assert "`plan" in text
            with pytest.raises(MCPError):
                await a.client.get_prompt(prompt.name, {})


async def test_sessions_end_when_the_server_stops() -> None:
    async with server() as made, agent(made, "legacy") as a:
        waiting = asyncio.create_task(a.client.call_tool("wait", {"model": A, "seconds": 300}))
        await until(lambda: made.components.service.live.subscriber_count == 1)
        async with asyncio.timeout(PATIENCE):
            await made.stop()
        with pytest.raises((MCPError, OSError, asyncio.CancelledError)):
            await waiting
