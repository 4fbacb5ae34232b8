"""GraphQL over HTTP to a running server: queries and mutations by POST, subscriptions as event streams."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from exo_graphql.cli.endpoint import is_loopback
from exo_graphql.cli.events import read_events
from exo_graphql.cli.failures import Failure, NoServer, Unanswered, from_errors
from exo_graphql.documents import Document
from exo_graphql.tls import NoCertificates, client_context, why_not

Variables = Mapping[str, Any]
Data = dict[str, Any]

JSON_TYPES = "application/graphql-response+json, application/json;q=0.9"
EVENT_STREAM = "text/event-stream"
CONNECT_SECONDS = 5.0
# The server itself waits up to 15 s for exo.
ANSWER_SECONDS = 30.0
# The server sends a comment every 12 s: a stream silent for longer than two of them is dead.
SILENCE_SECONDS = 30.0
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0


_REFUSALS = {
    401: (
        "UNAUTHENTICATED",
        "The server requires a token, or does not accept this one.",
        "Give one with --token before the command, or in EXO_GRAPHQL_TOKEN.",
    ),
    403: (
        "FORBIDDEN",
        "The server does not allow this.",
        "Use a token with the scope 'operate': --token before the command, or EXO_GRAPHQL_TOKEN.",
    ),
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A response of the server. `data` is None where the response has none, or null."""

    data: Data | None
    errors: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection of a subscription broke for this reason; the client connects again."""

    reason: str
    ended: bool = False
    """Whether the server ended the stream in order, as it does when the subscription is complete."""


class Client:
    """A client of one server. It reuses its connections."""

    def __init__(self, url: str, token: str | None = None, ca_file: Path | None = None) -> None:
        """`url` is the endpoint; `token` is sent as a bearer token; `ca_file` holds authorities to trust besides.

        Raises `Failure` where it holds none.
        """
        self._url = url
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            # Loading the certificates takes longer than a query; without https they are not needed.
            verify=_trusted(ca_file) if url.startswith("https:") else False,
            # A proxy from the environment is for other machines, not for this one.
            trust_env=not is_loopback(url),
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ask(self, document: Document, variables: Variables) -> Reply:
        """The answer to a query or mutation. Raises `NoServer`, or `Failure` where a token is missing or refused."""
        try:
            response = await self._http.post(
                self._url, json=_body(document, variables), headers={"accept": JSON_TYPES, "cache-control": "no-cache"}
            )
        except httpx.TransportError as error:
            raise self._no_server(error) from error
        return self._read(response)

    async def follow(
        self, document: Document, variables: Variables, *, patient: bool = False
    ) -> AsyncGenerator[Reply | Lost]:
        """A subscription's messages, for as long as they are read: when the connection breaks or the stream ends,
        `Lost` says so and it is made anew, after a pause of 0.2 s that doubles up to 2 s.

        Raises `NoServer` if the very first connection fails, unless `patient`.
        """
        pause = FIRST_PAUSE
        while True:
            lost = Lost("The server has ended the stream.", ended=True)
            try:
                async with aclosing(self._stream(document, variables)) as replies:
                    async for reply in replies:
                        if not reply.errors:
                            patient, pause = True, FIRST_PAUSE
                        yield reply
            except NoServer as error:
                if not patient:
                    raise
                lost = Lost(error.message)
            yield lost
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _stream(self, document: Document, variables: Variables) -> AsyncGenerator[Reply]:
        request = self._http.build_request(
            "POST",
            self._url,
            json=_body(document, variables),
            headers={"accept": EVENT_STREAM},
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        )
        try:
            response = await self._http.send(request, stream=True)
            try:
                if not response.headers.get("content-type", "").startswith(EVENT_STREAM):
                    await response.aread()
                    yield self._read(response)
                    return
                async with aclosing(_events(response)) as replies:
                    async for reply in replies:
                        yield reply
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise self._no_server(error) from error

    def _read(self, response: httpx.Response) -> Reply:
        try:
            body = json.loads(response.content)
        except ValueError:
            body = None
        reply = _reply(body)
        if response.status_code in _REFUSALS:
            raise _refusal(response.status_code, reply)
        if reply is None:
            raise NoServer(
                f"{self._url} answers, but not as GraphQL (HTTP {response.status_code}).",
                "Check --url, or --host and --port: exo-graphql listens on 52416 by default, exo itself on 52415.",
            )
        return reply

    def _no_server(self, error: httpx.TransportError) -> NoServer:
        if (reason := why_not(error)) is not None:
            return NoServer(
                f"No connection to {self._url}. {reason}",
                "Give the certificates of a private authority with --ca-file or SSL_CERT_FILE.",
            )
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return NoServer(
                f"No server answers at {self._url}.",
                "Start one with `exo-graphql serve` (or `exo-graphql serve --demo`), or give its address with --url.",
            )
        if isinstance(error, httpx.TimeoutException):
            return Unanswered(f"The server at {self._url} does not answer.")
        return Unanswered(f"The connection to {self._url} broke: {str(error) or type(error).__name__}.")


def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return client_context(ca_file)
    except NoCertificates as error:
        raise Failure(str(error)) from error


async def _events(response: httpx.Response) -> AsyncGenerator[Reply]:
    async for event in read_events(response.aiter_bytes()):
        if event.name == "complete":
            return
        reply = _reply(json.loads(event.data)) if event.name == "next" else None
        if reply is not None:
            yield reply


def _body(document: Document, variables: Variables) -> Mapping[str, object]:
    return {"query": document.text, "variables": dict(variables)}


def _reply(body: object) -> Reply | None:
    if not isinstance(body, dict) or not ("data" in body or "errors" in body):
        return None
    return Reply(body.get("data"), tuple(body.get("errors") or ()))


def _refusal(status: int, reply: Reply | None) -> Failure:
    code, message, suggestion = _REFUSALS[status]
    if reply is None or not reply.errors:
        return Failure(message, suggestion, code)
    failure = from_errors(reply.errors)
    # The server's suggestion names HTTP headers; a user of the command line sets options.
    return Failure(failure.message, suggestion if failure.code == code else failure.suggestion, failure.code)
