"""The composition root: wires the rooms together from the settings."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import httpx
from fastapi import FastAPI

from exo_graphql import clock
from exo_graphql.cluster.rules import Rules
from exo_graphql.engine.documents import Documents, document_rules
from exo_graphql.engine.limits import Limits
from exo_graphql.engine.results import Results
from exo_graphql.engine.service import Service
from exo_graphql.engine.worker_pool import WorkerPool
from exo_graphql.exo.pacing import PollerRules
from exo_graphql.exo.poller import Poller
from exo_graphql.observability.metrics import ClusterCollector, ServerCollector, UpstreamFigures
from exo_graphql.operations import OperationRules, Operations
from exo_graphql.schema.build import build_schema
from exo_graphql.settings import DEFAULT_EXO_URL, Settings
from exo_graphql.simulator import Fault, SimulatedExo, parse_fault
from exo_graphql.tls import NoCertificates, client_context
from exo_graphql.transports.app import PROBES, Application
from exo_graphql.transports.asgi import ASGIApp
from exo_graphql.transports.auth import Access, BadToken, Token, is_loopback, parse_tokens
from exo_graphql.transports.http import HttpEndpoint
from exo_graphql.transports.origin_policy import OriginPolicy
from exo_graphql.transports.sse import StreamRules
from exo_graphql.transports.websocket import WebSocketEndpoint

logger = logging.getLogger("exo_graphql")

DEMO_URL = "http://demo.exo.local"


class SettingsError(ValueError):
    """The settings contradict each other, or name what cannot be read. The message says what to do."""


@dataclass(slots=True)
class Components:
    """The rooms of one running server, for whoever has to reach them: tests, and the ends for operators."""

    asgi: ASGIApp
    service: Service
    poller: Poller
    operations: Operations
    websocket: WebSocketEndpoint
    demo: SimulatedExo | None
    leaving: asyncio.Event

    async def shut_down(self) -> None:
        """Breaks off every subscription, so that its client comes back, before the server closes its sockets."""
        self.leaving.set()
        await self.websocket.shut_down()


def build(settings: Settings, demo: SimulatedExo | None = None) -> Components:
    """The whole server. `demo` stands in for the one that `settings.demo` would make. Raises `SettingsError`."""
    if settings.demo and settings.exo_url:
        raise SettingsError("demo: --demo stands in for an exo, and --exo-url names one. Give one of the two.")
    if demo is None and settings.demo:
        demo = SimulatedExo(speed=settings.demo_speed, faults=read_faults(settings.fault))
    poller = _poller(settings, demo)
    journal = None if demo is not None else settings.state_dir / "operations.sqlite3"
    operations = Operations(poller, journal, _operation_rules(settings), clock=clock.elapsed, now=clock.utc_now)
    access = Access(_tokens(settings))
    schema = build_schema(read_only=settings.read_only)
    limits = Limits(**{limit.name: getattr(settings, limit.name) for limit in fields(Limits)})
    worker_pool = WorkerPool(max_cost=settings.max_waiting_cost)
    documents = Documents(
        schema,
        rules=document_rules(introspection=settings.introspection),
        limits=limits,
        worker_pool=worker_pool,
        capacity=1000 if settings.cache else 0,
    )
    service = Service(
        schema,
        documents,
        poller,
        operations,
        max_age=settings.max_age,
        elapsed=clock.elapsed,
        worker_pool=worker_pool,
        limits=limits,
        compiled=settings.compiled,
    )
    leaving = asyncio.Event()
    websocket = WebSocketEndpoint(
        service,
        access,
        init_timeout=settings.init_timeout,
        send_timeout=settings.send_timeout,
        max_subscriptions=settings.max_subscriptions,
        leaving=leaving,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as rooms:
            if demo is not None:
                await rooms.enter_async_context(demo)
            await rooms.enter_async_context(poller)
            await rooms.enter_async_context(operations)
            await rooms.enter_async_context(service)
            yield

    async def ready() -> bool:
        await service.refresh()
        return poller.snapshot is not None and not poller.snapshot.stale

    application = Application(
        HttpEndpoint(
            service,
            Results(capacity=2000 if settings.cache else 0),
            access,
            max_body_bytes=settings.max_body_bytes,
            body_timeout=settings.body_timeout,
            streams=StreamRules(keep_alive=settings.keep_alive, send_timeout=settings.send_timeout),
            leaving=leaving,
        ),
        websocket,
        lifespan=lifespan,
        ready=ready,
        access=access,
        metrics=service.metrics,
        root_path=settings.root_path,
    )
    service.metrics.add(ClusterCollector(lambda: poller.snapshot, clock.elapsed))
    service.metrics.add(
        ServerCollector(
            operations,
            lambda: UpstreamFigures(poller.stats.reads, poller.stats.failures, poller.stats.cost),
            lambda: service.live.subscriber_count,
            lambda: websocket.connection_count,
        )
    )
    roots = {"", settings.root_path.rstrip("/")}
    probes = [root + probe for root in roots for probe in PROBES]
    guard = OriginPolicy(application, settings.allowed_host, settings.allowed_origin, probes=probes)
    return Components(guard, service, poller, operations, websocket, demo, leaving)


def read_faults(texts: Sequence[str]) -> list[Fault]:
    """The faults that are ordered. Raises `SettingsError` for one that cannot be meant."""
    try:
        return [parse_fault(text) for text in texts]
    except ValueError as error:
        raise SettingsError(f"fault: {error}.") from error


def _tokens(settings: Settings) -> tuple[Token, ...]:
    """The configured tokens. Raises `SettingsError` for what must not be served."""
    text = settings.tokens.get_secret_value()
    try:
        if settings.tokens_file is not None:
            text += "\n" + _read_tokens(settings.tokens_file)
        tokens = parse_tokens(text)
    except (BadToken, OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"tokens: {error}") from error
    if not tokens and text:
        # Whoever meant to ask for tokens must not end up asking for none.
        raise SettingsError("tokens: neither --tokens nor --tokens-file holds any. Leave them out to ask for none.")
    if not tokens and not settings.no_auth and not is_loopback(settings.host):
        raise SettingsError(
            f"host: {settings.host} is reachable from other machines, and no token is configured. Configure tokens "
            "(EXO_GRAPHQL_TOKENS or --tokens-file), or give --no-auth to let everybody operate the cluster."
        )
    return tokens


def _read_tokens(path: Path) -> str:
    if os.name == "posix" and path.stat().st_mode & 0o077:
        logger.warning("tokens_file: others than its owner can read %s; chmod 600 keeps it secret.", path)
    return path.read_text(encoding="utf-8-sig")  # as some editors write it


def _poller(settings: Settings, demo: SimulatedExo | None) -> Poller:
    rules = PollerRules(
        rest_pause=settings.rest_pause,
        rest_share=settings.rest_share,
        quick_pause=settings.quick_pause,
        quick_share=settings.quick_share,
        idle_pause=settings.idle_pause,
        read_timeout=settings.read_timeout,
        lost_after=settings.lost_after,
        command_timeout=settings.command_timeout,
    )
    readiness = Rules(
        unseen_after=settings.unseen_after,
        still_after=settings.still_after,
        give_up_after=settings.give_up_after,
        empty_grace=settings.empty_grace,
    )
    urls = (DEMO_URL,) if demo is not None else settings.exo_url or (DEFAULT_EXO_URL,)
    transport = None if demo is None else httpx.ASGITransport(app=demo.app)
    try:
        tls = client_context(settings.ca_file) if any(url.startswith("https:") for url in urls) else None
    except NoCertificates as error:
        raise SettingsError(str(error)) from error
    return Poller(urls, transport=transport, tls=tls, rules=rules, readiness=readiness, now=clock.now)


def _operation_rules(settings: Settings) -> OperationRules:
    return OperationRules(
        stall_seconds=settings.stall_seconds,
        memory_seconds=settings.memory_seconds,
        give_up_seconds=settings.give_up_after,
        max_running=settings.max_operations,
    )
