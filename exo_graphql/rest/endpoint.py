"""Answers the requests of the table's routes."""

import asyncio
from collections.abc import Mapping
from functools import cache
from time import perf_counter
from typing import Any, NoReturn

import orjson
from graphql import GraphQLSchema

from exo_graphql.documents import document
from exo_graphql.engine.reply import Reply
from exo_graphql.engine.requests import BadRequest, GraphQLRequest
from exo_graphql.engine.rights import Caller, Rights
from exo_graphql.engine.service import Service
from exo_graphql.observability.metrics import Transport
from exo_graphql.rest.errors import RouteError, not_loaded, of_extensions, of_payload
from exo_graphql.rest.openapi import description
from exo_graphql.rest.routes import ROUTES, Route
from exo_graphql.rest.shaping import shaped
from exo_graphql.rest.validation import variables_of
from exo_graphql.transports.asgi import Disconnected, address_of, read_body, respond
from exo_graphql.transports.auth import Access, TooManyFailures, Unauthorized
from exo_graphql.transports.compression import Compressor
from exo_graphql.transports.conditional import etag_of
from exo_graphql.transports.content_types import JSON, check_encoding
from exo_graphql.transports.exchange import Exchange
from exo_graphql.transports.refusals import Headers, refusal_of
from exo_graphql.transports.rules import DEFAULT_TRANSPORT_RULES, TransportRules
from exo_graphql.transports.sending import send_body
from exo_graphql.transports.stored import StoredAnswers
from exo_graphql.trimmed import trimmed

PREFIX = "/v1/cluster"
OPENAPI = "/openapi.json"
_JSON = b"application/json; charset=utf-8"
_PATTERNS = tuple((route, route.pattern) for route in ROUTES)


def is_rest(path: str) -> bool:
    """Whether the path is one of this endpoint's."""
    return path in (PREFIX, OPENAPI) or path.startswith(f"{PREFIX}/")


class RestEndpoint:
    """The routes of `/v1/cluster`, and their description."""

    def __init__(
        self,
        service: Service,
        schema: GraphQLSchema,
        stored: StoredAnswers,
        access: Access,
        compressor: Compressor,
        *,
        max_body_bytes: int,
        rules: TransportRules = DEFAULT_TRANSPORT_RULES,
    ) -> None:
        self._service = service
        self._stored = stored
        self._access = access
        self._compressor = compressor
        self._max_body_bytes = max_body_bytes
        self._body_timeout = rules.body_timeout
        self._read_only = schema.mutation_type is None
        self._description = cache(lambda: _tagged(description(schema)))

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one request for a path of `is_rest`."""
        try:
            await self._answer(exchange)
        except Disconnected:
            return
        except RouteError as error:
            await self._refuse(exchange, error, [(b"allow", _allowed(exchange))] if error.status == 405 else [])
        except (BadRequest, Unauthorized, TooManyFailures) as error:
            status, reported, headers = refusal_of(error, _allowed(exchange))
            extensions = dict(reported.extensions or {})
            code = extensions.pop("code", "BAD_REQUEST")
            suggestion = extensions.pop("suggestion", None)
            await self._refuse(exchange, RouteError(status, code, reported.message, suggestion, **extensions), headers)

    async def _answer(self, exchange: Exchange) -> None:
        header = exchange.headers.get(b"authorization")
        authorization = None if header is None else header.decode("latin-1")
        caller = self._access.caller(authorization, address_of(exchange.scope))
        path: str = exchange.scope["path"]
        if path == OPENAPI:
            await self._describe(exchange)
            return
        route, variables = _route(exchange.method, path)
        if route.method == "GET":
            await self._read(exchange, route, variables, caller)
        else:
            await self._act(exchange, route, variables, caller)

    async def _describe(self, exchange: Exchange) -> None:
        if exchange.method not in ("GET", "HEAD"):
            raise BadRequest("Use GET or HEAD.", 405)
        text, etag = await asyncio.to_thread(self._description)
        await send_body(exchange, 200, text, _JSON, self._compressor, etag=etag)

    async def _read(self, exchange: Exchange, route: Route, variables: Mapping[str, object], caller: Caller) -> None:
        path: str = exchange.scope["path"]
        key = caller.rights, "REST", path
        snapshot, body = await self._stored.get(key)
        etag = self._stored.etag(snapshot, key)
        if body is None:
            reply = await self._execute(route.document, variables, caller, refreshed=snapshot is not None)
            body = trimmed(orjson.dumps({**route.constants, **shaped(_data(reply))}))
            self._stored.put(snapshot, key, len(path), reply, body)
            etag = self._stored.put_etag(snapshot, key, reply)
        await send_body(exchange, 200, body, _JSON, self._compressor, etag=etag)
        self._answered(exchange)

    async def _act(self, exchange: Exchange, route: Route, variables: Mapping[str, object], caller: Caller) -> None:
        if self._read_only:
            raise RouteError(403, "READ_ONLY", "This server only reads.", "Start it without --read-only.")
        if caller.rights is not Rights.OPERATE:
            raise RouteError(
                403, "FORBIDDEN", "This token allows reading only.", "Use a token with the scope 'operate'."
            )
        if route.body:
            content_type = exchange.headers.get(b"content-type", b"").decode("latin-1").split(";")[0].strip().lower()
            if content_type != JSON:
                raise BadRequest("The content type must be application/json.", 415)
            check_encoding(exchange.headers)
            body = await read_body(exchange.scope, exchange.receive, self._max_body_bytes, self._body_timeout)
            variables = variables_of(body, route.body)
        if route.check is not None:
            await self._check(route.check, variables, caller)
        (payload,) = _data(await self._execute(route.document, variables, caller)).values()
        if payload["error"] is not None:
            raise of_payload(payload["error"])
        shown = shaped({"_payload": {key: value for key, value in payload.items() if key != "error"}})
        accepted = {**route.constants, **shown}
        message = route.message.format_map({key: value or "nothing" for key, value in accepted.items()})
        await respond(exchange.send, 200, orjson.dumps({**accepted, "message": message}), _JSON)
        self._answered(exchange)

    async def _check(self, name: str, variables: Mapping[str, object], caller: Caller) -> None:
        checked = {"unload_model_id": variables["unload_model_id"]}
        data = _data(await self._execute(name, checked, caller))
        model = data["model"]
        being_loaded = [each["id"] for operation in data["operations"] for each in operation["loads"]]
        if not model["loaded"] and model["id"] not in being_loaded:
            loaded = [each["value"] for each in data["models"]]
            raise not_loaded(f"Cannot swap: {model['id']} is not loaded.", loaded)

    async def _execute(
        self, name: str, variables: Mapping[str, object], caller: Caller, *, refreshed: bool = False
    ) -> Reply:
        request = GraphQLRequest(document(f"rest/{name}").text, variables=variables, own=True)
        prepared = await self._service.prepare(request)
        if isinstance(prepared, Reply):
            return prepared
        return await self._service.answer(prepared, caller, refreshed=refreshed)

    async def _refuse(self, exchange: Exchange, error: RouteError, headers: Headers) -> None:
        self._service.metrics.refused(Transport.HTTP)
        await respond(exchange.send, error.status, orjson.dumps(error.body), _JSON, headers)

    def _answered(self, exchange: Exchange) -> None:
        self._service.metrics.answered(Transport.HTTP)
        self._service.metrics.observe(perf_counter() - exchange.began)


def _route(method: str, path: str) -> tuple[Route, dict[str, object]]:
    """The route, and the variables in its path. Raises `RouteError`."""
    methods = []
    for route, pattern in _PATTERNS:
        found = pattern.fullmatch(path)
        if found is not None:
            if route.method == method or (route.method == "GET" and method == "HEAD"):
                return route, dict(found.groupdict())
            methods.append(route.method)
    if methods:
        raise RouteError(405, "BAD_REQUEST", f"{method} is not a method of this path.", f"Use {' or '.join(methods)}.")
    raise RouteError(
        404,
        "NOT_FOUND",
        "There is no such route.",
        "GET /openapi.json describes those that exist.",
        available=[f"{route.method} {route.path}" for route in ROUTES],
    )


def _allowed(exchange: Exchange) -> bytes:
    path: str = exchange.scope["path"]
    methods = ["GET"] if path == OPENAPI else [route.method for route, pattern in _PATTERNS if pattern.fullmatch(path)]
    return ", ".join(methods + ["HEAD"] * ("GET" in methods)).encode()


def _data(reply: Reply) -> dict[str, Any]:
    """The data of a reply. Raises `RouteError` for its first error."""
    answer = orjson.loads(reply.payload)
    if "errors" in answer:
        _raise(answer["errors"][0])
    data: dict[str, Any] = answer["data"]
    return data


def _raise(error: Mapping[str, Any]) -> NoReturn:
    raise of_extensions(error["message"], error["extensions"])


def _tagged(content: object) -> tuple[bytes, bytes]:
    text = trimmed(orjson.dumps(content))
    return text, etag_of(text)
