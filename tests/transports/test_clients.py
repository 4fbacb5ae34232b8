"""Clients that people use, against the running server: Python's gql, npm's graphql-ws and graphql-sse."""

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from typing import Any

import pytest
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport

from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.support.node_tools import NodeTools
from tests.support.running import PATIENCE, A, Running, running, until

pytestmark = pytest.mark.anyio

UNTIL_READY = f'subscription {{ modelStatus(model: "{A}", until: READY) {{ phase ready }} }}'


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running(SimulatedExo(tiny_scenario(), seed=1, speed=5), tokens="operate:operating-secret") as server:
        yield server


def _whole_way(reported: list[dict[str, Any]]) -> None:
    """From the present status to the first ready one, no phase twice. A busy machine may skip what lasts shortest."""
    phases = [each["modelStatus"]["phase"] for each in reported]
    assert phases[0] == "NOT_LOADED"
    assert phases[-1] == "READY"
    assert len(phases) == len(set(phases))


async def test_gql_over_a_websocket_loads_a_model_and_waits_until_it_is_ready(server: Running) -> None:
    transport = WebsocketsTransport(url=server.websocket_url, init_payload={"Authorization": "Bearer operating-secret"})
    async with Client(transport=transport, fetch_schema_from_transport=True) as session:
        subscription = aiter(session.subscribe(gql(UNTIL_READY)))
        reported = [await anext(subscription)]
        mutation = gql("mutation ($m: String!) { loadModel(model: $m) { operation { id } error { code } } }")
        mutation.variable_values = {"m": A}
        answer = await session.execute(mutation)
        assert answer["loadModel"]["error"] is None
        reported += [each async for each in subscription]
        _whole_way(reported)
        operation = gql("subscription ($id: ID!) { operation(id: $id) { state } }")
        operation.variable_values = {"id": answer["loadModel"]["operation"]["id"]}
        states = [each["operation"]["state"] async for each in session.subscribe(operation)]
        assert states[-1] == "SUCCEEDED"


async def test_gql_gets_the_reason_why_an_operation_cannot_begin(server: Running) -> None:
    transport = WebsocketsTransport(url=server.websocket_url, init_payload={"Authorization": "Bearer operating-secret"})
    async with Client(transport=transport) as session:
        with pytest.raises(TransportQueryError) as caught:
            await session.execute(gql("{ cluster { nodeCont } }"))
    assert caught.value.errors is not None
    assert caught.value.errors[0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


GRAPHQL_WS = """
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
const [url, query] = process.argv.slice(1);
const client = createClient({ url, webSocketImpl: WebSocket, connectionParams: { token: 'operating-secret' } });
for await (const result of client.iterate({ query })) console.log(JSON.stringify(result.data));
await client.dispose();
"""

GRAPHQL_SSE = """
import { createClient } from 'graphql-sse';
const [url, query] = process.argv.slice(1);
const client = createClient({ url, headers: { authorization: 'Bearer operating-secret' } });
for await (const result of client.iterate({ query })) console.log(JSON.stringify(result.data));
client.dispose();
"""


@pytest.mark.npm
@pytest.mark.parametrize(("script", "websocket"), [(GRAPHQL_WS, True), (GRAPHQL_SSE, False)], ids=["ws", "sse"])
async def test_the_npm_client_follows_a_model_until_it_is_ready(
    server: Running, node_tools: NodeTools, script: str, websocket: bool
) -> None:
    url = server.websocket_url if websocket else server.url
    process = await asyncio.create_subprocess_exec(
        str(node_tools.node),
        *("--input-type=module", "-e", script, url, UNTIL_READY),
        cwd=node_tools.folder,
        stdout=PIPE,
    )
    await until(lambda: server.components.service.live.subscriber_count == 1 or process.returncode is not None)
    server.exo.control.place(A)
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0
    _whole_way([json.loads(line) for line in out.splitlines()])
    await until(lambda: server.components.websocket.connection_count == 0)


@pytest.mark.npm
@pytest.mark.parametrize("by_get", [False, True], ids=["post", "get"])
async def test_apollo_with_automatic_persisted_queries_sends_each_query_once(
    server: Running, node_tools: NodeTools, by_get: bool
) -> None:
    script = """
    import { createHash } from 'node:crypto';
    import { ApolloClient, HttpLink, InMemoryCache, gql } from '@apollo/client/core';
    import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
    const sha256 = (text) => createHash('sha256').update(text).digest('hex');
    const [url, get] = process.argv.slice(1);
    const requests = [];
    const watched = (url, options) => {
      requests.push(`${options.method} ${'query' in (options.body ? JSON.parse(options.body) : {})}`);
      return fetch(url, options);
    };
    const headers = { authorization: 'Bearer operating-secret' };
    const http = new HttpLink({ uri: url, headers, fetch: watched });
    for (const query of [gql`{ cluster { nodeCount } }`, gql`{ cluster { nodeCount } }`]) {
      const link = new PersistedQueryLink({ sha256, useGETForHashedQueries: get === 'true' }).concat(http);
      const client = new ApolloClient({ link, cache: new InMemoryCache() });
      const { data } = await client.query({ query });
      console.log(JSON.stringify(Object.values(data.cluster).filter((value) => value === 2)));
    }
    console.log(requests.join());
    """
    process = await asyncio.create_subprocess_exec(
        str(node_tools.node),
        *("--input-type=module", "-e", script, server.url, str(by_get).lower()),
        cwd=node_tools.folder,
        stdout=PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    # The first client sends the hash, then the query with it; the second one the hash alone.
    short = "GET false" if by_get else "POST false"
    assert out.decode().splitlines() == ["[2]", "[2]", f"{short},POST true,{short}"]


@pytest.mark.npm
async def test_the_npm_client_of_the_legacy_protocol_would_be_refused(server: Running, node_tools: NodeTools) -> None:
    script = """
    import WebSocket from 'ws';
    const socket = new WebSocket(process.argv[1], 'graphql-ws');
    socket.on('error', (error) => console.log(error.message));
    socket.on('close', (code) => console.log(code));
    """
    process = await asyncio.create_subprocess_exec(
        str(node_tools.node),
        *("--input-type=module", "-e", script, server.websocket_url),
        cwd=node_tools.folder,
        stdout=PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    # It gives up by itself where no subprotocol is agreed upon, before it hears of 4406.
    assert out.decode().splitlines() == ["Server sent no subprotocol", "1006"]
