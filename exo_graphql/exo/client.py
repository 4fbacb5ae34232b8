"""One exo node over HTTP. Knows exo's routes (`refusals`: its errors); keeps nothing but connections.

Every call is bounded in time and raises `Unreachable` or `Refused` alone. Their messages are fit for a caller; URLs
and the exceptions behind them go to the log.
"""

import asyncio
import base64
import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from exo_graphql import __version__
from exo_graphql.cluster.upstream import Misconfigured, Refused, Unreachable, UpstreamError
from exo_graphql.exo.copied import Copied, copied
from exo_graphql.exo.gate import Gate
from exo_graphql.exo.paths import rest_of_path, segment
from exo_graphql.exo.refusals import decoded, refusal
from exo_graphql.tls import why_not

logger = logging.getLogger(__name__)

# The state of 35 nodes is 5 MB. A body larger than this is not from exo, and must not fill the memory.
MAX_BODY = 64 << 20
# Commands that hang in an election must not use up the connections that reading needs.
MAX_COMMANDS = 32
# Seconds in which exo fetches what it needs to know of a model from the hub.
HUB_SECONDS = 60.0
# Paths that are read again and again: their URLs are made once.
_READS = ("/state", "/state/runners", "/node_id", "/models")
_NOT_MODIFIED = 304
_NOT_EXO = "What answers is not exo, or is an unsupported release of it."


class NotSent(Unreachable):
    """No connection was made, so exo never saw the request: it is safe to try another node."""


class Untrusted(NotSent, Misconfigured):
    """The TLS handshake failed: the certificate is not trusted, or the other side does not use TLS."""


class TooSlow(Unreachable):
    """No answer came in time."""


class Erring(Unreachable):
    """Something answered, but with a server error, or not as exo does."""


@dataclass(frozen=True, slots=True)
class StateBody:
    """An answer to `GET /state`."""

    body: bytes | None
    """None: unchanged since the ETag that was sent (304)."""
    etag: str | None
    """Identifies exactly this state; None where exo sends none (a branch of June 2026: the last event's index)."""
    copied: Copied | None = None
    """Where another server of this kind answers in exo's place: what it says of its own read."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    etag: str | None
    body: bytes
    copied: Copied | None


class ExoClient:
    """The calls of one exo node. `transport` reaches an exo in this process; None means the network."""

    def __init__(
        self,
        base_url: str,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        token: str | None = None,
        command_timeout: float = 15.0,
        gate: Gate | None = None,
    ) -> None:
        """`token` is sent as a bearer's, unless the URL holds credentials. `gate`: None lets all commands pass."""
        url = httpx.URL(base_url.rstrip("/"))
        self.url = str(url.copy_with(userinfo=b"")).rstrip("/")
        """Where the node is, without credentials."""
        self.untrusted: Untrusted | None = None
        """Why the TLS handshake fails; None once it succeeds."""
        self._command_timeout = command_timeout
        """Seconds."""
        self._gate = gate if gate is not None else Gate()
        self._commands = asyncio.Semaphore(MAX_COMMANDS)
        """Held by each command under way, but not by reads."""
        self._base = url
        """With credentials."""
        self._urls = {path: self._url(path) for path in _READS}
        self._headers = {
            "accept": "*/*",
            # One of exo's branches compresses: 24 ms of the event loop that serves inference, for a local network.
            "accept-encoding": "identity",
            "connection": "keep-alive",
            "user-agent": f"exo-graphql/{__version__}",
        }
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        if url.userinfo:
            credentials = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
            self._headers["authorization"] = f"Basic {credentials}"
        # Not an `httpx.AsyncClient`: cookies, redirects and the merging of URLs, of which exo knows nothing, take a
        # third of the time of a request. A transport has no timeouts by itself: `_send` bounds each call as a whole.
        self._transport = _network(tls, https=url.scheme == "https") if transport is None else transport

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._transport.aclose()

    # Reading

    async def state(
        self, within: float, known: str | None = None, wait: int = 0, max_age: float | None = None
    ) -> StateBody:
        """`GET /state`, at most `within` seconds later. `known` is the ETag of a state that need not be sent again.

        `wait`: another server of this kind may take so many seconds longer to answer, if it has no other state before.
        `max_age`: it may answer what it read so many seconds ago; None: at most a second.
        """
        within += wait
        answer = await self._send("GET", "/state", within=within, known=known, wait=wait, max_age=max_age)
        return StateBody(None if answer.status == _NOT_MODIFIED else answer.body, answer.etag, answer.copied)

    async def runners(self, within: float) -> bytes:
        """The body of `GET /state/runners` (exo >= 1.0.71); `Refused` where exo has no such call."""
        return (await self._send("GET", "/state/runners", within=within)).body

    async def node_id(self, within: float) -> str | None:
        """The node's own id; None if the answer holds none. Raises `Unreachable` if nothing answers."""
        try:
            answer = decoded((await self._send("GET", "/node_id", within=within)).body)
        except (Refused, Erring):
            return None
        return answer if isinstance(answer, str) and answer else None

    async def is_there(self, within: float) -> None:
        """Asks the same, and raises `UpstreamError` unless it is answered as exo does."""
        await self._send("GET", "/node_id", within=within)

    async def models(self, within: float) -> bytes:
        """The body of `GET /models`, exo's catalogue."""
        return (await self._send("GET", "/models", within=within)).body

    # Placement

    async def placement(self, model_id: str, sharding: str, instance_meta: str, min_nodes: int) -> object:
        """The instance document that exo would create; `Refused` says why there is none."""
        params = {
            "model_id": model_id,
            "sharding": sharding,
            "instance_meta": instance_meta,
            "min_nodes": str(min_nodes),
        }
        return await self._command("GET", "/instance/placement", params=params)

    async def previews(self, model_id: str, node_ids: Sequence[str] = ()) -> Sequence[Any]:
        """Every placement that exo considers; those on `node_ids` and perhaps others where these are given."""
        answer = await self._command("GET", "/instance/previews", params={"model_id": model_id, "node_ids": node_ids})
        previews = answer.get("previews") if isinstance(answer, dict) else None
        if not isinstance(previews, list):
            raise Erring(_NOT_EXO)
        return previews

    # The hub

    async def search_hub(self, query: str, limit: int) -> Sequence[Any]:
        """`GET /models/search`: exo asks the hub, which takes a second or two."""
        params = {"query": query, "limit": str(limit)}
        received = await self._send("GET", "/models/search", within=self._command_timeout, params=params, limited=True)
        answer = decoded(received.body)
        if not isinstance(answer, list):
            raise Erring(_NOT_EXO)
        return answer

    async def add_model(self, model_id: str) -> None:
        """`POST /models/add`: exo reads the model's files on the hub before it answers."""
        await self._command("POST", "/models/add", body={"model_id": model_id}, within=HUB_SECONDS)

    async def remove_model(self, model_id: str) -> None:
        """`DELETE /models/custom/{id}`; `NotFound` for a model that is not custom."""
        await self._command("DELETE", f"/models/custom/{rest_of_path(model_id)}")

    # Commands. exo's are fire-and-forget: a 200 says that it received one, not that it was carried out.

    async def create(self, document: Mapping[str, object]) -> None:
        """`POST /instance`."""
        await self._command("POST", "/instance", body={"instance": document})

    async def delete(self, instance_id: str) -> None:
        """`DELETE /instance/{id}`; `NotFound` for an id that exo does not know."""
        await self._command("DELETE", f"/instance/{segment(instance_id)}")

    async def start_download(self, node_id: str, shard_metadata: Mapping[str, object]) -> None:
        """`POST /download/start`."""
        body = {"target_node_id": node_id, "shard_metadata": shard_metadata}
        await self._command("POST", "/download/start", body=body)

    async def cancel_download(self, node_id: str, model_id: str) -> None:
        """`POST /download/cancel` (exo >= 1.0.71)."""
        await self._command("POST", "/download/cancel", body={"target_node_id": node_id, "model_id": model_id})

    async def delete_download(self, node_id: str, model_id: str) -> None:
        """`DELETE /download/{node}/{model}`."""
        await self._command("DELETE", f"/download/{segment(node_id)}/{rest_of_path(model_id)}")

    async def cancel_task(self, command_id: str) -> None:
        """`POST /v1/cancel/{id}`; `NotFound` where this node's API holds no stream of it."""
        await self._command("POST", f"/v1/cancel/{segment(command_id)}")

    # One request

    def _url(self, path: str) -> httpx.URL:
        """The URL of a path whose ids are encoded."""
        return self._base.copy_with(raw_path=self._base.raw_path.rstrip(b"/") + path.encode())

    async def _command(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | Sequence[str]] | None = None,
        body: object = None,
        within: float | None = None,
    ) -> object:
        """The JSON that a command answers; every one answers an object."""
        content = None if body is None else orjson.dumps(body)
        received = await self._send(
            method, path, within=within or self._command_timeout, params=params, content=content, limited=True
        )
        answer = decoded(received.body)
        if not isinstance(answer, dict):
            raise Erring(_NOT_EXO)
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        *,
        within: float,
        params: Mapping[str, str | Sequence[str]] | None = None,
        content: bytes | None = None,
        limited: bool = False,
        known: str | None = None,
        wait: int = 0,
        max_age: float | None = None,
    ) -> _Answer:
        """A 2xx answer, or a 304 to `known`, whole, at most `within` seconds later."""
        headers = {}
        if content is not None:
            headers["content-type"] = "application/json"
        if known is not None:
            headers["if-none-match"] = known
        if wait:
            headers["prefer"] = f"wait={wait}"
        if max_age is not None:
            headers["cache-control"] = f"max-age={max_age:.0f}"
        # Failed reads are logged once for several in a row, by `Endpoints`; each failed command is logged here.
        level = logging.INFO if limited else logging.DEBUG
        try:
            async with asyncio.timeout(within):
                if not limited:
                    return await self._receive(method, path, params, content, headers)
                async with self._commands:
                    return await self._receive(method, path, params, content, headers)
        except UpstreamError as error:
            if method == "GET" and isinstance(error, Refused):
                level = logging.DEBUG  # an answer to `placements`: sixty of them in one query are ordinary
            logger.log(level, "%s %s%s: %s", method, self.url, path, error)
            raise
        except TimeoutError as error:
            logger.log(level, "%s %s%s: no answer within %.1f s", method, self.url, path, within)
            raise TooSlow(f"exo did not answer within {within:.1f} s.") from error
        except httpx.ConnectError as error:
            logger.log(level, "%s %s%s: %r", method, self.url, path, error)
            if (reason := why_not(error)) is not None:
                self.untrusted = Untrusted(f"exo cannot be reached. {reason}")
                raise self.untrusted from error
            raise NotSent("exo cannot be reached.") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            logger.log(level, "%s %s%s: %r", method, self.url, path, error)
            raise Unreachable("The connection to exo broke.") from error

    async def _receive(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | Sequence[str]] | None,
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> _Answer:
        url = self._urls.get(path) or self._url(path)
        request = httpx.Request(method, url, params=params, content=content, headers={**self._headers, **headers})
        if method != "GET":
            self._gate.check()
            request.extensions["trace"] = self._gate.before_each_part
        response = await self._transport.handle_async_request(request)
        try:
            self.untrusted = None
            chunks = []
            size = 0
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > MAX_BODY:
                    raise Erring("What answers is not exo: its answer is larger than 64 MiB.")
                chunks.append(chunk)
        finally:
            await response.aclose()
        body = b"".join(chunks)
        status = response.status_code
        if 200 <= status < 300 or (status == _NOT_MODIFIED and "if-none-match" in headers):
            etag = response.headers.get("etag")
            # A weak ETag means "equivalent", not "identical".
            etag = etag if etag and not etag.startswith("W/") else None
            return _Answer(status, etag, body, copied(response.headers))
        if 400 <= status < 500:
            raise refusal(status, body)
        logger.debug("%s %s%s: status %d: %r", method, self.url, path, status, body[:200])
        if status >= 500:
            raise Erring(f"exo failed inside (status {status}).")
        raise Erring(f"What answers is not exo (status {status}).")


def _network(tls: ssl.SSLContext | None, *, https: bool) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(
        # exo closes a connection that was idle for 5 s: never send a command into one that is about to close.
        limits=httpx.Limits(max_connections=2 * MAX_COMMANDS, max_keepalive_connections=4, keepalive_expiry=4.0),
        # exo is in the local network: what the environment says about the internet does not apply to it.
        trust_env=False,
        # Loading the usual certificates takes a while, and plain HTTP needs none.
        verify=tls if tls is not None else https,
    )
