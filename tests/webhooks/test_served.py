"""A whole server and receivers on real sockets: what they see, verified by the library, and what the server says."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from exo_graphql.events import EventKind, Occurrence, Severity
from exo_graphql.webhooks import attempt
from tests.support.running import PATIENCE, Running, running, until
from tests.webhooks.receivers import SECRET

pytestmark = pytest.mark.anyio


@dataclass
class Socket:
    """A receiver that answers each request with these bytes, and then with `endless` for ever."""

    answer: bytes
    endless: bytes = b""
    requests: list[tuple[bytes, dict[str, str], bytes]] = field(default_factory=list)
    """Request line, headers and body."""
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append((first.encode("latin-1"), headers, body))
            writer.write(self.answer)
            await writer.drain()
            while self.endless:
                writer.write(self.endless)
                await writer.drain()
                await asyncio.sleep(0.005)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(**sockets: Socket) -> AsyncIterator[None]:
    """Receivers on free ports."""
    servers = [await asyncio.start_server(each.serve, "127.0.0.1", 0) for each in sockets.values()]
    for server, each in zip(servers, sockets.values(), strict=True):
        each.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        for server in servers:
            server.close()


async def _asked(server: Running, query: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.post(server.url, json={"query": query})


MOVED = "It answered 307 Temporary Redirect. Redirects are not followed: configure the URL that it leads to."
EMPTY = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"


async def test_receivers_of_all_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "TIMEOUT", 1.5)
    works = Socket(EMPTY)
    endless_body = Socket(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"400\r\n" + b"x" * 1024 + b"\r\n")
    endless_head = Socket(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n")
    moved = Socket(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
    silent, nonsense = Socket(b""), Socket(b"SSH-2.0-OpenSSH_9.6\r\n")
    receivers = {"works": works, "endless_body": endless_body, "endless_head": endless_head, "moved": moved}
    receivers |= {"silent": silent, "nonsense": nonsense}
    async with listening(**receivers):
        own = "/hook?a=%2F&m={{.data.message}}&b=1+2"
        urls = [f"http://127.0.0.1:{works.port}{own}&kinds=MODEL_LOST"]
        urls += [f"http://127.0.0.1:{each.port}/" for name, each in receivers.items() if name != "works"]
        async with running(webhook_url=tuple(urls), webhook_secret=SECRET) as server:
            server.components.events.record(
                Occurrence(kind=kind, severity=Severity.ERROR, message="It is gone: \u00e9.")
                for kind in (EventKind.NODE_LEFT, EventKind.MODEL_LOST)
            )
            await until(lambda: works.requests)
            ((line, headers, body),) = works.requests
            assert line == f"POST {own} HTTP/1.1".encode()
            verified = Webhook(SECRET).verify(body, headers)
            assert (verified["type"], verified["data"]["message"]) == ("MODEL_LOST", "It is gone: \u00e9.")

            answer = await _asked(server, "mutation { testWebhooks { error { code } results { status error } } }")
            results = answer.json()["data"]["testWebhooks"]["results"]
            assert [(each["status"], each["error"]) for each in results] == [
                (204, None),
                (200, None),
                (None, "No answer within 1.5 s."),
                (307, MOVED),
                (None, "It closed the connection without an answer."),
                (None, "It closed the connection without an answer."),
            ]
            assert Webhook(SECRET).verify(works.requests[-1][2], works.requests[-1][1])["type"] == "TEST"

            deliveries = server.components.webhooks.all()
            await until(lambda: deliveries[1].delivered == 2 and deliveries[2].failing_since)
            listed = await _asked(server, "{ webhooks { name kinds severity state delivered pending lastError } }")
            first, second, third, *_ = listed.json()["data"]["webhooks"]
            name = f"127.0.0.1:{works.port}"
            assert first == {
                "name": name,
                "kinds": ["MODEL_LOST"],
                "severity": "INFO",
                "state": "WORKING",
                "delivered": 1,
                "pending": 0,
                "lastError": None,
            }
            assert (second["delivered"], second["kinds"]) == (2, None)
            assert (third["state"], third["pending"], third["lastError"]) == ("FAILING", 2, "No answer within 1.5 s.")
            async with httpx.AsyncClient() as client:
                metrics = (await client.get(server.url.replace("graphql", "metrics"))).text
            assert f'exo_graphql_webhook_delivered_total{{webhook="{name}"}} 1.0' in metrics
            assert f'exo_graphql_webhook_failing_since_seconds{{webhook="{name}"}}' not in metrics
            assert metrics.count("exo_graphql_webhook_failing_since_seconds{") == 4

            unknown = await _asked(server, 'mutation { testWebhooks(name: "x") { error { code suggestion } } }')
            assert unknown.json()["data"]["testWebhooks"]["error"]["suggestion"].startswith(f"Use one of: {name}, ")


async def test_without_webhooks_nothing_is_made() -> None:
    async with running() as server:
        answer = await _asked(server, "mutation { testWebhooks { results { status } error { code suggestion } } }")
        error = {"code": "INVALID_ARGUMENT", "suggestion": "Start the server with --webhook-url URL."}
        assert answer.json()["data"]["testWebhooks"] == {"results": [], "error": error}
        assert (await _asked(server, "{ webhooks { name } }")).json()["data"] == {"webhooks": []}


async def test_names_that_are_looked_up_for_long_hold_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    looking, over = threading.Semaphore(0), threading.Event()
    look_up = socket.getaddrinfo

    def slow(host: str | bytes | None, *arguments: Any, **options: Any) -> Any:
        if isinstance(host, str) and host.endswith(".hangs"):
            looking.release()
            over.wait(30)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    urls = tuple(f"http://receiver-{number}.hangs/" for number in range(20))
    async with running(webhook_url=urls, webhook_secret=SECRET) as server:
        server.components.events.record(
            [Occurrence(kind=EventKind.MODEL_LOST, severity=Severity.ERROR, message="It is gone.")]
        )
        async with asyncio.timeout(PATIENCE):
            for _ in urls:
                await until(lambda: looking.acquire(blocking=False))
            # What decodes exo's state runs on the threads on which the loop would look names up.
            assert await asyncio.to_thread(lambda: "done") == "done"
            over.set()
            webhooks = server.components.webhooks.all()
            await until(lambda: all(each.last_error is not None for each in webhooks))
        assert webhooks[0].last_error == "It cannot be reached: Name or service not known."
