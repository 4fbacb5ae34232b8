"""What one server says to another that leads, over HTTP. Knows the route of `transports/replica_routes.py`.

GET  /replica/graphql    204: it leads; 409: it does not, or is another server
POST /replica/graphql    carries out a mutation, in its answer the `Outcome` in a header; 409: as above
"""

import asyncio
import ssl
from collections.abc import Callable
from http import HTTPStatus

import httpx
import orjson

from exo_graphql import __version__
from exo_graphql.replicas.mutation import Answered, Mutation, NoAnswer
from exo_graphql.storage import Replica
from exo_graphql.tls import NoCertificates, why_not

PATH = "/replica/graphql"
OUTCOME_HEADER = "exo-graphql-outcome"
"""In the answer to a mutation that the leader dealt with: the name of its `Outcome`."""
TO_HEADER = "exo-graphql-to"
"""The id of the server that a request is for."""
ROLE_HEADER = "exo-graphql-role"
"""In the answer of a server that does not lead, with `NOT_LEADING`: nothing was carried out. In any other answer: it
led when the mutation began, and not at its end, so that it may have refused it for that reason alone."""
FOLLOWER, ANOTHER = "follower", "another"
"""Its values: the server does not lead, or is not the one that is meant."""
NOT_LEADING = HTTPStatus.CONFLICT


class NotDone(Exception):
    """An attempt that certainly changed nothing. The message says why."""


class LeaderClient:
    """Speaks to whichever server leads."""

    def __init__(self, tls: Callable[[], ssl.SSLContext], *, connect: float, max_answer_bytes: int) -> None:
        """`tls` is called where a URL is of https; it may raise `NoCertificates`. `connect`: seconds until a server
        that does not say that it leads counts as unreachable.
        """
        self._tls = tls
        self._connect = connect
        self._max_answer_bytes = max_answer_bytes
        self._clients: dict[bool, httpx.AsyncClient] = {}
        """By whether it speaks https: reading the certificates takes 20 ms."""

    async def aclose(self) -> None:
        """Closes what is open."""
        for client in self._clients.values():
            await client.aclose()

    async def ask(self, leader: Replica, secret: str | None) -> None:
        """Returns if that server says that it leads. Raises `NotDone`."""
        try:
            async with asyncio.timeout(self._connect):
                response = await self._send("GET", leader, secret)
                await response.aclose()
        except TimeoutError:
            raise NotDone(
                f"{leader.name} leads, and does not answer at its address (--advertise-url) within {self._connect:g} s."
            ) from None
        except httpx.HTTPError as error:
            raise NotDone(
                f"{leader.name} leads, and cannot be reached at its address (--advertise-url): {_said(error)}"
            ) from error
        except NoCertificates as error:
            raise NotDone(str(error)) from error
        except (httpx.InvalidURL, ValueError, OverflowError, ExceptionGroup) as error:
            # An OverflowError, in a group, for the port 99999; an InvalidURL for http://[::1.
            raise NotDone(f"The address of {leader.name} (--advertise-url) cannot be used.") from error
        if response.status_code != HTTPStatus.NO_CONTENT:
            raise self._refusal(leader, response) or NotDone(_answered(leader, response))

    async def post(self, leader: Replica, secret: str | None, mutation: Mutation) -> Answered:
        """What it answers to the mutation. Raises `NotDone` and `NoAnswer`."""
        body = {
            "query": mutation.query,
            "operationName": mutation.operation_name,
            "variables": mutation.variables,
            "by": mutation.by,
            "rights": "OPERATE",
            "trusted": mutation.trusted,
        }
        try:
            response = await self._send("POST", leader, secret, orjson.dumps(body))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NotDone(
                f"{leader.name} leads, and cannot be reached at its address (--advertise-url): {_said(error)}"
            ) from error
        except httpx.HTTPError as error:
            raise NoAnswer(f"The connection to {leader.name} broke: {_said(error)}") from error
        try:
            outcome = response.headers.get(OUTCOME_HEADER)
            if response.status_code == HTTPStatus.OK and outcome is not None:
                if ROLE_HEADER in response.headers and mutation.repeatable:
                    raise NoAnswer(f"{leader.name} no longer leads.")
                return Answered(outcome, await self._payload(leader, response))
            raise self._refusal(leader, response) or NoAnswer(_answered(leader, response))
        finally:
            await response.aclose()

    async def _send(
        self, method: str, leader: Replica, secret: str | None, content: bytes | None = None
    ) -> httpx.Response:
        if leader.url is None or secret is None:
            raise NotDone(f"{leader.name} leads, and has no address (--advertise-url).")
        headers = {"authorization": f"Bearer {secret}", "content-type": "application/json", TO_HEADER: leader.id}
        url = leader.url.rstrip("/") + PATH
        client = self._client(https=url.startswith("https:"))
        return await client.send(client.build_request(method, url, content=content, headers=headers), stream=True)

    def _client(self, *, https: bool) -> httpx.AsyncClient:
        client = self._clients.get(https)
        if client is None:
            # A connection for each request: one that is kept may be closed by the leader just as a request is sent, and
            # then nobody knows whether that was carried out. Proxies of the environment are for other things.
            client = self._clients[https] = httpx.AsyncClient(
                verify=self._tls() if https else False,
                timeout=httpx.Timeout(None, connect=self._connect),
                limits=httpx.Limits(max_keepalive_connections=0),
                follow_redirects=False,
                trust_env=False,
                headers={"user-agent": f"exo-graphql/{__version__}", "accept-encoding": "identity"},
            )
        return client

    @staticmethod
    def _refusal(leader: Replica, response: httpx.Response) -> NotDone | None:
        """Why nothing was carried out, where the answer says that nothing was."""
        role = response.headers.get(ROLE_HEADER) if response.status_code == NOT_LEADING else None
        if role == ANOTHER:
            return NotDone(f"At the address of {leader.name}, which leads, is another server: see its --advertise-url.")
        if role is not None:
            return NotDone(f"{leader.name} has not begun to lead, or no longer leads.")
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            return NotDone(f"What answers at the address of {leader.name} shares no database with this server.")
        if response.is_client_error or response.is_redirect:
            return NotDone(f"What answers at the address of {leader.name} refused it with HTTP {response.status_code}.")
        return None

    async def _payload(self, leader: Replica, response: httpx.Response) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in response.aiter_raw():
                chunks.append(chunk)
                size += len(chunk)
                if size > self._max_answer_bytes:
                    raise NoAnswer(f"The answer of {leader.name} is too long.")
        except httpx.HTTPError as error:
            raise NoAnswer(f"The connection to {leader.name} broke: {_said(error)}") from error
        payload = b"".join(chunks)
        try:
            if isinstance(orjson.loads(payload), dict):
                return payload
        except orjson.JSONDecodeError:
            pass
        raise NoAnswer(f"The answer of {leader.name} is not one of GraphQL.")


def _answered(leader: Replica, response: httpx.Response) -> str:
    return f"{leader.name}, or a proxy before it, answered HTTP {response.status_code}."


def _said(error: Exception) -> str:
    return why_not(error) or f"{str(error).rstrip('.') or type(error).__name__}."
