"""The protocol `graphql-transport-ws`, rule by rule, with the code that closes the connection where one is broken.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
"""

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.support.own_time import OWN_TIME, Backend
from tests.support.running import PHASE, A, Running, Socket, running, until

pytestmark = pytest.mark.anyio

COUNT = "{ cluster { nodeCount } }"
SUBSCRIBE = {"id": "1", "type": "subscribe", "payload": {"query": COUNT}}


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return OWN_TIME  # as everywhere, but for the whole module: nothing that these tests ask changes the server


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


@pytest.fixture(autouse=True)
async def nothing_is_left(server: Running, caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """Neither connections nor shares nor tasks, nor an unexpected line in the log."""
    yield
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []
    live, websocket = server.components.service.live, server.components.websocket
    await until(lambda: (websocket.connection_count, live.share_count) == (0, 0))
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("websocket")] == []


async def _close_of(connection: ClientConnection) -> tuple[int | None, str | None]:
    return await Socket(connection).closed()


# The handshake


async def test_the_subprotocol_is_agreed_upon(server: Running) -> None:
    async with server.bare() as connection:
        assert connection.subprotocol == "graphql-transport-ws"


async def test_of_several_subprotocols_ours_is_taken(server: Running) -> None:
    async with server.bare(subprotocols=["graphql-ws", "graphql-transport-ws"]) as connection:
        assert connection.subprotocol == "graphql-transport-ws"


@pytest.mark.parametrize("subprotocols", [None, ["graphql-ws"], ["graphql-transport-ws2", "mqtt"]])
async def test_another_subprotocol_or_none_is_closed_with_4406(
    server: Running, subprotocols: list[Subprotocol] | None
) -> None:
    async with server.bare(subprotocols=subprotocols) as connection:
        assert connection.subprotocol is None
        assert await _close_of(connection) == (4406, "Subprotocol not acceptable")


async def test_a_page_of_another_origin_does_not_get_through(server: Running) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        async with server.bare(origin="https://evil.example"):
            pass


# Initialisation


async def test_an_initialisation_is_acknowledged(server: Running) -> None:
    messages: list[dict[str, Any]] = [{}, {"payload": None}, {"payload": {}}, {"payload": {"anything": [1]}}]
    for message in messages:
        async with server.bare() as connection:
            socket = Socket(connection)
            await socket.send(type="connection_init", **message)
            assert await socket.receive() == {"type": "connection_ack"}


async def test_a_client_that_does_not_initialise_in_time_is_closed_with_4408() -> None:
    async with running(init_timeout=0.05) as server, server.bare() as connection:
        assert await _close_of(connection) == (4408, "Connection initialisation timeout")


async def test_pings_do_not_put_off_the_initialisation() -> None:
    async with running(init_timeout=0.2) as server, server.bare() as connection:
        socket = Socket(connection)
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}
        assert (await socket.closed())[0] == 4408


async def test_a_second_initialisation_is_closed_with_4429(server: Running) -> None:
    async with server.socket() as socket:
        await socket.send(type="connection_init")
        assert await socket.closed() == (4429, "Too many initialisation requests")


async def test_a_client_that_subscribes_before_the_acknowledgement_is_closed_with_4401(server: Running) -> None:
    async with server.bare() as connection:
        await connection.send(orjson.dumps(SUBSCRIBE).decode())
        assert await _close_of(connection) == (4401, "Unauthorized")


async def test_what_follows_an_initialisation_at_once_is_answered_after_its_acknowledgement(server: Running) -> None:
    async with server.bare() as connection:
        socket = Socket(connection)
        await socket.send(type="connection_init")
        await socket.send(**SUBSCRIBE)
        assert [(await socket.receive())["type"] for _ in range(3)] == ["connection_ack", "next", "complete"]


# Rights


@pytest.fixture(scope="module")
async def guarded() -> AsyncIterator[Running]:
    async with running(tokens="read:reading-secret,operate:operating-secret") as server:
        yield server


@pytest.mark.parametrize(
    "payload", [None, {}, {"Authorization": "Bearer wrong-secret"}, {"authorization": "Basic eDp5"}, {"token": 1}]
)
async def test_a_client_without_a_known_token_is_closed_with_4403(
    guarded: Running, payload: dict[str, Any] | None
) -> None:
    async with guarded.bare() as connection:
        await Socket(connection).send(type="connection_init", payload=payload)
        assert await _close_of(connection) == (4403, "Forbidden")


@pytest.mark.parametrize(
    ("payload", "headers"),
    [
        ({"Authorization": "Bearer reading-secret"}, {}),
        ({"authorization": "bearer reading-secret"}, {}),
        ({"token": "reading-secret"}, {}),
        ({}, {"Authorization": "Bearer reading-secret"}),
    ],
)
async def test_a_token_in_the_payload_or_the_header_is_known(
    guarded: Running, payload: dict[str, Any], headers: dict[str, str]
) -> None:
    async with guarded.socket(payload, additional_headers=headers) as socket:
        id_ = await socket.subscribe(COUNT)
        assert await socket.data(id_) == {"cluster": {"nodeCount": 2}}


async def test_a_mutation_without_the_right_to_is_an_error_of_that_operation_alone(guarded: Running) -> None:
    async with guarded.socket({"token": "reading-secret"}) as socket:
        id_ = await socket.subscribe('mutation { loadModel(model: "test/tiny-a") { operation { id } } }')
        message = await socket.receive()
        assert (message["id"], message["type"]) == (id_, "error")
        assert message["payload"][0]["extensions"]["code"] == "FORBIDDEN"
        id_ = await socket.subscribe(COUNT)
        assert await socket.data(id_) == {"cluster": {"nodeCount": 2}}
    assert guarded.components.operations.all() == ()


# Pings


@pytest.mark.parametrize("payload", [None, {}, {"at": 1, "deep": {"er": [None]}}])
async def test_a_ping_is_answered_with_its_payload(server: Running, payload: dict[str, Any] | None) -> None:
    async with server.socket() as socket:
        await socket.send(type="ping", **({} if payload is None else {"payload": payload}))
        assert await socket.receive() == {"type": "pong", **({} if payload is None else {"payload": payload})}


async def test_an_unsolicited_pong_is_ignored(server: Running) -> None:
    async with server.socket() as socket:
        await socket.send(type="pong", payload={"x": 1})
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}


# Operations


async def test_a_query_is_one_next_and_a_complete(server: Running) -> None:
    async with server.socket() as socket:
        await socket.send(**SUBSCRIBE)
        assert await socket.receive() == {
            "id": "1",
            "type": "next",
            "payload": {"data": {"cluster": {"nodeCount": 2}}},
        }
        assert await socket.receive() == {"id": "1", "type": "complete"}


async def test_a_subscription_begins_with_what_is_now(server: Running) -> None:
    async with server.socket() as socket:
        id_ = await socket.subscribe(PHASE)
        assert await socket.data(id_) == {"modelStatus": {"phase": "NOT_LOADED"}}


async def test_variables_and_the_operation_name_are_used(server: Running) -> None:
    async with server.socket() as socket:
        query = f"query Q($id: ID!) {{ model(id: $id) {{ id }} }} query R {COUNT}"
        payload = {"query": query, "operationName": "Q", "variables": {"id": "tiny-b"}, "extensions": {"x": 1}}
        await socket.send(id="é☃", type="subscribe", payload=payload)
        assert await socket.data("é☃") == {"model": {"id": "test/tiny-b"}}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nope }", "GRAPHQL_VALIDATION_FAILED"),
        (f"query A {COUNT} query B {COUNT}", "OPERATION_RESOLUTION_FAILURE"),
        ("query ($id: ID!) { model(id: $id) { id } }", "BAD_USER_INPUT"),
        ("subscription ($m: String!) { modelStatus(model: $m) { phase } }", "BAD_USER_INPUT"),
        ('subscription { tasks(model: "nobody") { id } }', "MODEL_NOT_FOUND"),
        ('subscription { operation(id: "nobody") { id } }', "OPERATION_NOT_FOUND"),
    ],
)
async def test_an_operation_that_cannot_begin_is_an_error_and_nothing_more(
    server: Running, query: str, code: str
) -> None:
    async with server.socket() as socket:
        id_ = await socket.subscribe(query)
        message = await socket.receive()
        assert (message["id"], message["type"]) == (id_, "error")
        assert [error["extensions"]["code"] for error in message["payload"]] == [code]
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}


async def test_an_id_in_use_is_closed_with_4409_for_every_operation(server: Running) -> None:
    async with server.socket() as socket:
        await socket.send(id="mine", type="subscribe", payload={"query": PHASE})
        await socket.data("mine")
        await socket.send(id="mine", type="subscribe", payload={"query": COUNT})
        assert await socket.closed() == (4409, "Subscriber for mine already exists")


async def test_a_long_id_in_use_is_closed_with_4409_too(server: Running) -> None:
    async with server.socket() as socket:
        for _ in range(2):
            await socket.send(id="☃" * 500, type="subscribe", payload={"query": PHASE})
        await socket.receive()
        code, reason = await socket.closed()
    assert code == 4409
    assert reason is not None
    assert reason.endswith("already exists")


async def test_an_id_is_free_again_after_complete_from_either_side(server: Running) -> None:
    async with server.socket() as socket:
        for _ in range(3):
            await socket.send(id="1", type="subscribe", payload={"query": PHASE})
            await socket.data("1")
            await socket.send(id="1", type="complete")
        for _ in range(3):
            await socket.send(**SUBSCRIBE)
            await socket.data("1")
            assert (await socket.receive())["type"] == "complete"


async def test_an_id_is_free_again_after_an_error(server: Running) -> None:
    async with server.socket() as socket:
        for _ in range(2):
            await socket.send(id="1", type="subscribe", payload={"query": "{ nope }"})
            assert (await socket.receive())["type"] == "error"


async def test_nothing_is_sent_after_the_client_completes() -> None:
    async with running(SimulatedExo(tiny_scenario(), seed=1, speed=5)) as server, server.socket() as socket:
        id_ = await socket.subscribe(PHASE)
        await socket.data(id_)
        await socket.send(id=id_, type="complete")
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}
        assert server.components.service.live.share_count == 0
        server.exo.control.place(A)
        other = await socket.subscribe('subscription { modelStatus(model: "test/tiny-a", until: READY) { ready } }')
        while (message := await socket.receive())["type"] != "complete":
            assert message["id"] == other


@pytest.mark.parametrize("id_", ["nobody", "1" * 1000])
async def test_a_complete_for_an_unknown_id_is_ignored(server: Running, id_: str) -> None:
    async with server.socket() as socket:
        await socket.send(id=id_, type="complete")
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}


async def test_many_operations_interleave_on_one_connection(server: Running) -> None:
    async with server.socket() as socket:
        streams = {await socket.subscribe(PHASE) for _ in range(20)}
        queries = {await socket.subscribe(COUNT) for _ in range(20)}
        got: dict[str, list[str]] = {}
        for _ in range(20 + 40):
            message = await socket.receive()
            got.setdefault(message["id"], []).append(message["type"])
        assert got == {id_: ["next"] for id_ in streams} | {id_: ["next", "complete"] for id_ in queries}


# What is no message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "1",
        '"ping"',
        "{}",
        '{"type": null}',
        '{"type": 1}',
        '{"type": ""}',
        '{"type": "nope"}',
        '{"type": "connection_ack"}',
        '{"type": "next", "id": "1", "payload": {}}',
        '{"type": "start", "id": "1", "payload": {"query": "{ x }"}}',
        '{"type": "ping", "payload": 1}',
        '{"type": "ping", "payload": []}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{ x }"}}',
        '{"type": "subscribe", "id": "", "payload": {"query": "{ x }"}}',
        '{"type": "subscribe", "id": "1"}',
        '{"type": "subscribe", "id": "1", "payload": null}',
        '{"type": "subscribe", "id": "1", "payload": [{"query": "{ x }"}]}',
        '{"type": "subscribe", "id": "1", "payload": {"query": null}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ x }", "variables": []}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ x }", "operationName": {}}}',
        '{"type": "complete"}',
        '{"type": "complete", "id": {}}',
        '{"type": "ping", "payload": {"x": "\\ud800"}}',
        "[" * 100_000,
        '{"type": "' + "☃" * 500 + '"}',
    ],
)
async def test_what_is_no_message_is_closed_with_4400(server: Running, text: str) -> None:
    async with server.socket() as socket:
        await socket.connection.send(text)
        code, reason = await socket.closed()
    assert code == 4400
    assert reason


async def test_a_binary_message_is_closed_with_4400(server: Running) -> None:
    async with server.socket() as socket:
        await socket.connection.send(b'{"type": "ping"}')
        assert await socket.closed() == (4400, "Messages must be text")


@pytest.mark.parametrize("text", ["nonsense", '{"type": "nope"}', '{"type": "connection_init", "payload": 1}'])
async def test_before_the_acknowledgement_what_is_no_message_is_closed_with_4400_too(
    server: Running, text: str
) -> None:
    async with server.bare() as connection:
        await connection.send(text)
        assert (await _close_of(connection))[0] == 4400


async def test_a_text_frame_that_is_no_utf8_is_closed_with_1007(server: Running) -> None:
    async with server.socket() as socket:
        socket.connection.protocol.send_text(b"\xff\xfe")
        socket.connection.transport.write(b"".join(socket.connection.protocol.data_to_send()))
        assert (await socket.closed())[0] == 1007


async def test_random_bytes_and_types_end_in_a_close_and_affect_no_other_client(server: Running) -> None:
    dice = random.Random(7)
    values: list[Any] = [None, 0, 1e400, -1, "", "1", [], {}, [[]], {"query": 1}, {"query": "{"}, True, 2**80]
    types = ["connection_init", "ping", "pong", "subscribe", "complete", "next", "", 1, None]
    async with server.socket() as bystander:
        id_ = await bystander.subscribe(PHASE)
        await bystander.data(id_)
        for _ in range(150):
            async with server.socket() as socket:
                if dice.random() < 0.3:
                    await socket.connection.send(dice.randbytes(dice.randrange(200)).decode("latin-1"))
                elif dice.random() < 0.2:
                    await socket.connection.send(dice.randbytes(dice.randrange(200)))
                else:
                    keys = dice.sample(["id", "payload", "x"], dice.randrange(4))
                    message = {"type": dice.choice(types)} | {key: dice.choice(values) for key in keys}
                    await socket.connection.send(json.dumps(message))  # writes what orjson would not
                await socket.connection.send("the end")
                assert (await socket.closed())[0] in (4400, 4429)
        await bystander.send(type="ping")
        assert await bystander.receive() == {"type": "pong"}


async def test_random_frames_end_in_a_close_and_affect_no_other_client(server: Running) -> None:
    dice = random.Random(11)
    for _ in range(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        )
        assert b"101" in await reader.readline()
        await reader.readuntil(b"\r\n\r\n")
        writer.write(dice.randbytes(dice.randrange(1, 400)))
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 5)
        writer.close()
    async with server.socket() as socket:
        id_ = await socket.subscribe(COUNT)
        assert await socket.data(id_) == {"cluster": {"nodeCount": 2}}
