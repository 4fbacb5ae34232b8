"""The route by which another server that shares the store passes mutations on to this one, which leads.

    POST /replica/graphql    {query, operationName, variables, by, rights, trusted}
    GET  /replica/graphql    whether this server leads

Both with `Authorization: Bearer SECRET`, and with the id of the server that they are for: two servers may have been
given the same address, such as 127.0.0.1 of each machine.

The secret is in the shared database alone. Whoever knows it is believed who the caller is and what it may do: that was
checked where the mutation came from. It is checked once more here, and nothing but a mutation is carried out. A server
that does not lead says so, and passes nothing on.
"""

import hmac
from hashlib import sha256
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from exo_graphql.engine.execution import refusal
from exo_graphql.engine.reply import Reply
from exo_graphql.engine.requests import BadRequest, GraphQLRequest
from exo_graphql.engine.rights import Caller, Rights
from exo_graphql.engine.service import Service
from exo_graphql.observability.metrics import Transport
from exo_graphql.replicas.forward import Role
from exo_graphql.replicas.leader_client import (
    ANOTHER,
    FOLLOWER,
    NOT_LEADING,
    OUTCOME_HEADER,
    PATH,
    ROLE_HEADER,
    TO_HEADER,
)
from exo_graphql.schema.errors import NamedError
from exo_graphql.storage.leadership import Leadership
from exo_graphql.transports.asgi import Disconnected, headers_of, read_body, respond
from exo_graphql.transports.auth import Unauthorized, is_name
from exo_graphql.transports.content_types import JSON
from exo_graphql.transports.refusals import refusal_of
from exo_graphql.transports.rules import DEFAULT_TRANSPORT_RULES, TransportRules

__all__ = ["MAX_BODY_BYTES", "PATH", "ReplicaEndpoint"]

MAX_BODY_BYTES = 2 << 20
"""A document and variables of 100,000 characters each, at most six bytes each, and the rest."""
_JSON_TYPE = b"application/json; charset=utf-8"
# Browsers send at least one of these with every POST.
_OF_BROWSERS = (b"origin", b"sec-fetch-site", b"sec-fetch-mode")


class _NotLeading(Exception):
    """This server is not the one that is meant, or does not lead. The argument is the value of `ROLE_HEADER`."""


class ReplicaEndpoint:
    """Answers `PATH`."""

    def __init__(
        self,
        service: Service,
        leadership: Leadership,
        role: Role,
        rules: TransportRules = DEFAULT_TRANSPORT_RULES,
    ) -> None:
        self._service = service
        self._leadership = leadership
        self._role = role
        self._body_timeout = rules.body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        try:
            reply = await self._answer(scope, receive)
        except Disconnected:
            return
        except (BadRequest, Unauthorized) as error:
            self._service.metrics.refused(Transport.REPLICA)
            status, reported, headers = refusal_of(error, b"GET, POST")
            await respond(send, status, refusal((reported,)), _JSON_TYPE, headers)
            return
        except _NotLeading as error:
            self._service.metrics.refused(Transport.REPLICA)
            not_leading = NamedError("NOT_LEADING", "This server does not lead.", "Send it to the one that does.")
            role = [(ROLE_HEADER.encode(), str(error).encode())]
            await respond(send, NOT_LEADING, refusal((not_leading,)), _JSON_TYPE, role)
            return
        if reply is None:
            await respond(send, 204, b"", _JSON_TYPE)
            return
        self._service.metrics.answered(Transport.REPLICA)
        headers_sent = [(OUTCOME_HEADER.encode(), reply.outcome.value.encode())]
        if not self._leads:
            headers_sent.append((ROLE_HEADER.encode(), FOLLOWER.encode()))
        await respond(send, 200, reply.payload, _JSON_TYPE, headers_sent)

    @property
    def _leads(self) -> bool:
        return self._role.leading and self._leadership.leads

    def _check_leads(self) -> None:
        if not self._leads:
            raise _NotLeading(FOLLOWER)

    async def _answer(self, scope: Scope, receive: Receive) -> Reply | None:
        """The reply; None to the question whether this server leads, which it does.

        Raises `BadRequest`, `Unauthorized`, `_NotLeading` and `Disconnected`.
        """
        secret = self._leadership.secret
        if secret is None:
            raise BadRequest("This server shares its store with no other one.", 404)
        headers = headers_of(scope)
        if any(name in headers for name in _OF_BROWSERS):
            raise BadRequest("This route is for servers, not for pages.", 403)
        if scope["method"] not in ("GET", "POST"):
            raise BadRequest("Use GET or POST.", 405)
        if not _is_secret(headers.get(b"authorization", b""), secret):
            raise Unauthorized
        if headers.get(TO_HEADER.encode(), b"").decode("latin-1") != self._leadership.own.id:
            raise _NotLeading(ANOTHER)
        self._check_leads()
        if scope["method"] == "GET":
            return None
        if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != JSON.encode():
            raise BadRequest("The content type must be application/json.", 415)
        body = await read_body(scope, receive, MAX_BODY_BYTES, self._body_timeout)
        request, caller = _parsed(body)
        prepared = await self._service.prepare(request)
        self._check_leads()  # still
        if isinstance(prepared, Reply):
            return prepared
        if not prepared.is_mutation:
            raise BadRequest("Only mutations are passed on.")
        return await self._service.answer(prepared, caller, passed_on=True)


def _is_secret(header: bytes, secret: str) -> bool:
    scheme, _, given = header.partition(b" ")
    # Digests all have the same length, so that comparing them does not reveal the secret's.
    same = hmac.compare_digest(sha256(given.strip()).digest(), sha256(secret.encode()).digest())
    return scheme.lower() == b"bearer" and same


def _parsed(body: bytes) -> tuple[GraphQLRequest, Caller]:
    """The request, and who its caller is there. Raises `BadRequest`."""
    try:
        given: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(given, dict):
        raise BadRequest("The body must be an object.")
    query, name, variables = given.get("query"), given.get("operationName"), given.get("variables")
    by, rights = given.get("by"), given.get("rights")
    if not isinstance(query, str):
        raise BadRequest("'query' must be a string.")
    if not isinstance(name, str | None) or not isinstance(variables, dict | None):
        raise BadRequest("'operationName' must be a string, and 'variables' an object.")
    if by is not None and not (isinstance(by, str) and is_name(by)):
        raise BadRequest("'by' must be the name of a token.")
    if not isinstance(rights, str) or rights not in Rights.__members__:
        raise BadRequest("'rights' must be READ or OPERATE.")
    request = GraphQLRequest(query, name, variables, own=given.get("trusted") is True)
    return request, Caller(Rights[rights], by)
