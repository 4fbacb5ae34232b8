"""`exo-graphql mcp`: the same tools by a process that speaks on its stdin and stdout."""

import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from exo_graphql.mcp.tools import TOOLS
from tests.mcp.conftest import TOKENS, Agent, server
from tests.mcp.test_http import READING, A

pytestmark = pytest.mark.anyio
PROGRAM = str(Path(sys.executable).parent / "exo-graphql")


async def test_the_tools_act_on_a_running_server_with_the_rights_of_the_token() -> None:
    async with server(tokens=TOKENS) as made:
        for token, names in (("a-secret-to-operate", {tool.name for tool in TOOLS}), ("a-secret-to-read", READING)):
            arguments = ["--url", made.url, "--token", token, "mcp"]
            async with Client(StdioServerParameters(command=PROGRAM, args=arguments)) as client:
                a = Agent(client)
                assert {tool.name for tool in (await client.list_tools()).tools} == names
                plan = await a.call("plan", load=["tiny-a"])
                if names == READING:
                    assert (await a.refused("apply", hash=plan["hash"]))["code"] == "FORBIDDEN"
                    continue
                applied = await a.call("apply", hash=plan["hash"])
                waited = await a.call("wait", operation=applied["operation"]["id"])
                assert (waited["done"], waited["operation"]["state"]) == (True, "SUCCEEDED")
                assert a.progress
                # Too short for the first message of a subscription to a server somewhere else.
                for over in ({"operation": applied["operation"]["id"]}, {"model": A}, {"model": "nobody"}):
                    assert (await a.call("wait", seconds=0, **over))["done"], over
                assert not (await a.call("wait", seconds=0, model="half"))["done"]
                assert (await a.refused("wait", seconds=0, operation="x"))["code"] == "OPERATION_NOT_FOUND"
                assert (await a.call("model_status", model=A))["ready"]
                assert (await a.refused("graphql", query="mutation { a }"))["code"] == "READ_ONLY"
                assert (await a.call("graphql", query="{ cluster { nodeCount } }"))["data"]["cluster"]["nodeCount"] == 2
