"""A server that is stopped and started again on the same port: clients that people use come back by themselves."""

import asyncio
import json
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from gql import Client, gql
from gql.transport.exceptions import TransportError
from gql.transport.websockets import WebsocketsTransport

from tests.support.node_tools import NodeTools
from tests.support.process import free_port, served
from tests.support.running import PATIENCE

pytestmark = pytest.mark.anyio

QUERY = "subscription { cluster { nodeCount } }"
FOUR = {"cluster": {"nodeCount": 4}}

# Each as its own documentation begins, but for `shouldRetry`: without it graphql-ws gives up for good where it tries
# again while the server is not listening yet, and says so to its caller. And with more than five attempts: on a busy
# machine it takes a server longer to start again.
SCRIPTS: Mapping[str, str] = {
    "graphql-ws": """
import { createClient } from 'graphql-ws';
const client = createClient(socketOptions);
for await (const result of client.iterate({ query })) print(result.data);
""",
    "graphql-sse": """
import { createClient } from 'graphql-sse';
const client = createClient({ url: `http://${where}`, retryAttempts: 1000, retry: pause });
for await (const result of client.iterate({ query })) print(result.data);
""",
    "EventSource": """
import { EventSource } from 'eventsource';
const source = new EventSource(`http://${where}?query=${encodeURIComponent(query)}`);
source.addEventListener('next', (event) => print(JSON.parse(event.data).data));
source.addEventListener('complete', end);
setInterval(() => {}, 1000);  // its own timer would let the process end
""",
    "Apollo": """
import { ApolloClient, InMemoryCache, gql } from '@apollo/client/core';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { createClient } from 'graphql-ws';
const link = new GraphQLWsLink(createClient(socketOptions));
const client = new ApolloClient({ link, cache: new InMemoryCache() });
await new Promise((done, failed) => client.subscribe({ query: gql(query), fetchPolicy: 'no-cache' }).subscribe({
  next: (result) => print(result.data), error: failed, complete: done,
}));
""",
    "urql": """
import { Client, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-ws';
const socket = createClient(socketOptions);
const forwardSubscription = (request) => ({
  subscribe: (sink) => ({ unsubscribe: socket.subscribe({ ...request, query: request.query || '' }, sink) }),
});
const client = new Client({ url: `http://${where}`, exchanges: [subscriptionExchange({ forwardSubscription })] });
client.subscription(query, {}).subscribe((result) => (result.error ? end() : print(result.data)));
setInterval(() => {}, 1000);
""",
}
# Imports have to come first.
HEAD = """
const [where, query] = process.argv.slice(1);
const print = ({ cluster: { nodeCount } }) => console.log(JSON.stringify({ cluster: { nodeCount } }));
const end = () => process.exit();
const pause = () => new Promise((done) => setTimeout(done, 200));
const socketOptions = {
  url: `ws://${where}`, webSocketImpl: globalThis.WebSocket, shouldRetry: () => true,
  retryAttempts: 1000, retryWait: pause,
};
"""


@asynccontextmanager
async def _client(tools: NodeTools, script: str, where: str) -> AsyncIterator[Process]:
    imports = [line for line in script.splitlines() if line.startswith("import ")]
    rest = [line for line in script.splitlines() if not line.startswith("import ")]
    process = await asyncio.create_subprocess_exec(
        str(tools.node),
        *("--input-type=module", "-e", "\n".join((*imports, HEAD, *rest)), where, QUERY),
        cwd=tools.folder,
        stdout=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _next(process: Process) -> object:
    """The next message that a client prints; None if it has ended instead."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        line = await process.stdout.readline()
    return json.loads(line) if line else None


@pytest.mark.npm
async def test_npm_clients_go_on_after_a_restart(tmp_path: Path, node_tools: NodeTools) -> None:
    port = free_port()
    where = f"127.0.0.1:{port}/graphql"
    async with AsyncExitStack() as stack:
        clients: dict[str, Process] = {}
        async with served(tmp_path, port) as (process, _):
            for name, script in SCRIPTS.items():
                clients[name] = await stack.enter_async_context(_client(node_tools, script, where))
            first = {name: await _next(client) for name, client in clients.items()}
            assert first == dict.fromkeys(SCRIPTS, FOUR)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
        async with served(tmp_path, port):
            again = {name: await _next(client) for name, client in clients.items()}
            assert again == dict.fromkeys(SCRIPTS, FOUR)


async def test_gql_sees_a_broken_connection_and_not_an_end(tmp_path: Path, forking_python: Sequence[str]) -> None:
    port = free_port()
    transport = WebsocketsTransport(url=f"ws://127.0.0.1:{port}/graphql")
    async with served(tmp_path, port, python=forking_python) as (process, _):
        client = Client(transport=transport)
        session = await client.connect_async(reconnecting=True)  # type: ignore[no-untyped-call]
        reported = aiter(session.subscribe(gql(QUERY)))
        assert await anext(reported) == FOUR
        process.send_signal(signal.SIGTERM)
        # It leaves it to its caller to subscribe again; an end would look like the end.
        with pytest.raises(TransportError):
            await asyncio.wait_for(anext(reported), PATIENCE)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    async with served(tmp_path, port, python=forking_python):
        async with asyncio.timeout(PATIENCE):
            assert await _subscribed_again(session) == FOUR
    await client.close_async()  # type: ignore[no-untyped-call]


async def _subscribed_again(session: object) -> object:
    while True:
        try:
            return await anext(aiter(session.subscribe(gql(QUERY))))  # type: ignore[attr-defined]
        except TransportError:
            await asyncio.sleep(0.05)
