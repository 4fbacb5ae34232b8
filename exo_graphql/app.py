"""The composition root: makes every part of the server from the settings, and connects them."""

import asyncio
import importlib.util
import logging
import math
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp

from exo_graphql import clock
from exo_graphql.cluster.rules import DEFAULT_RULES, Rules
from exo_graphql.deployment_file.reader import InvalidFile
from exo_graphql.deployments.file import Source, opened
from exo_graphql.deployments.service import Deployments
from exo_graphql.deployments.time_zone import own_time_zone
from exo_graphql.documents import document, document_names
from exo_graphql.engine.document_folder import InvalidDocument, read_documents
from exo_graphql.engine.documents import KEPT_DOCUMENTS, Documents, document_rules
from exo_graphql.engine.limits import DEFAULT_LIMITS, Limits
from exo_graphql.engine.persisted import PersistedDocuments
from exo_graphql.engine.results import Results
from exo_graphql.engine.service import MAX_AGE, Service
from exo_graphql.engine.worker_pool import WorkerPool
from exo_graphql.events.log import EventLog
from exo_graphql.exo.gate import Gate
from exo_graphql.exo.mirror import Mirror
from exo_graphql.exo.pacing import DEFAULT_POLLER_RULES, PollerRules
from exo_graphql.exo.poller import Poller
from exo_graphql.loopback import is_loopback
from exo_graphql.observability.collectors import (
    ClusterCollector,
    DeploymentCollector,
    ReplicaCollector,
    ServerCollector,
    WebhookCollector,
)
from exo_graphql.observability.model_collectors import EventCollector, ModelCollector
from exo_graphql.observability.recorder import Recorder
from exo_graphql.operations import OperationRules, Operations
from exo_graphql.operations.rules import DEFAULT_OPERATION_RULES
from exo_graphql.replicas.membership import Membership
from exo_graphql.rest.endpoint import RestEndpoint, is_rest
from exo_graphql.schema.build import build_schema
from exo_graphql.series import Series
from exo_graphql.series.sampler import Sampler
from exo_graphql.settings import DEFAULT_EXO_URL, Settings, SettingsError
from exo_graphql.simulator import SimulatedExo, parse_fault
from exo_graphql.storage import Store
from exo_graphql.storage.sqlite import SQLiteStore
from exo_graphql.tls import NoCertificates, client_context
from exo_graphql.transports.app import PROBES, Application
from exo_graphql.transports.auth import Access, BadToken, Token, parse_tokens
from exo_graphql.transports.compression import Compressor
from exo_graphql.transports.http import HttpEndpoint
from exo_graphql.transports.mcp import McpEndpoint
from exo_graphql.transports.origin_policy import OriginPolicy
from exo_graphql.transports.rules import DEFAULT_TRANSPORT_RULES, TransportRules
from exo_graphql.transports.stored import StoredAnswers
from exo_graphql.transports.texts import Texts
from exo_graphql.transports.websocket import WebSocketEndpoint
from exo_graphql.web.dashboard.documents import dashboard_documents
from exo_graphql.webhooks.secret import parse_secrets, stored_secret
from exo_graphql.webhooks.target import targets
from exo_graphql.webhooks.webhooks import Webhooks

logger = logging.getLogger("exo_graphql")

DEMO_URL = "http://demo.exo.local"


@dataclass(slots=True)
class Components:
    """The parts of one server that its runner and the tests need."""

    asgi: ASGIApp
    service: Service
    poller: Poller
    store: Store
    operations: Operations
    deployments: Deployments
    events: EventLog
    webhooks: Webhooks
    websocket: WebSocketEndpoint
    mcp: McpEndpoint
    demo: SimulatedExo | None
    leaving: asyncio.Event

    async def shut_down(self) -> None:
        """Ends every subscription in a way that makes its client reconnect, before the server closes its sockets."""
        self.leaving.set()
        self.service.waits.end()
        self.mcp.end()
        await self.websocket.shut_down()


@dataclass(frozen=True, slots=True)
class Tuning:
    """Numbers that no operator has a reason to change, so they are not settings. Tests and benchmarks pass others.

    A setting wins over the number of the same name in here, such as `max_cost` over `limits.max_cost`.
    """

    poller: PollerRules = DEFAULT_POLLER_RULES
    readiness: Rules = DEFAULT_RULES
    operations: OperationRules = DEFAULT_OPERATION_RULES
    limits: Limits = DEFAULT_LIMITS
    transport: TransportRules = DEFAULT_TRANSPORT_RULES
    max_age: float = MAX_AGE
    """Seconds; see `MAX_AGE`."""
    cached: bool = True
    """Whether results and documents are cached. Without, the answers are the same, slower."""
    compiled: bool = True
    """Whether operations are compiled where possible. Without, the answers are the same, slower."""


DEFAULT_TUNING = Tuning()


def build(settings: Settings, demo: SimulatedExo | None = None, tuning: Tuning = DEFAULT_TUNING) -> Components:
    """The whole server, not yet running. `demo` replaces the one that `settings.demo` would make.

    Raises `SettingsError`.
    """
    if settings.demo and settings.exo_url:
        raise SettingsError("demo", "--demo replaces an exo cluster, and --exo-url names one. Give one of the two.")
    if settings.fault and not settings.demo and demo is None:
        # Ignored, it would leave a person waiting for a fault that never comes.
        raise SettingsError("fault", "faults are for the demo alone. Give --demo as well.")
    if demo is None and settings.demo:
        demo = simulated(settings.demo_speed, settings.fault)
    store = _store(settings, in_memory=demo is not None)
    poller = _poller(settings, tuning, demo, Gate(lambda: store.leadership.seconds_left))
    operations = Operations(poller, store, _operation_rules(settings, tuning), clock=clock.elapsed, now=clock.utc_now)
    time_zone = own_time_zone()
    deployments = Deployments(
        poller,
        operations,
        store,
        time_zone=time_zone,
        file=_deployments_file(settings, operations.rules, time_zone),
        now=clock.now,
    )
    events = EventLog(
        store,
        now=clock.utc_now,
        max_count=settings.max_events,
        max_age=timedelta(days=settings.max_event_days),
        losses_for=timedelta(seconds=settings.loss_seconds),
    )
    series = Series(clock.now())
    sampler = Sampler(series, store, snapshot=lambda: poller.snapshot, now=clock.now)
    webhooks = _webhooks(settings, events, store)
    access = Access(_tokens(settings))
    schema = build_schema(read_only=settings.read_only)
    limits = replace(tuning.limits, max_cost=settings.max_cost, max_live_cost=settings.max_live_cost)
    worker_pool = WorkerPool(max_cost=settings.max_waiting_cost)
    documents = Documents(
        schema,
        rules=document_rules(introspection=settings.introspection),
        limits=limits,
        worker_pool=worker_pool,
        capacity=KEPT_DOCUMENTS if tuning.cached else 0,
    )
    membership = Membership(store.leadership)
    service = Service(
        schema,
        documents,
        poller,
        operations,
        deployments,
        events,
        max_age=tuning.max_age,
        elapsed=clock.elapsed,
        worker_pool=worker_pool,
        limits=limits,
        compiled=tuning.compiled,
        demo=demo is not None,
        series=series,
        webhooks=webhooks,
        persisted=_persisted(settings, documents),
        introspection=settings.introspection,
        membership=membership,
    )
    leaving = asyncio.Event()
    websocket = WebSocketEndpoint(
        service,
        access,
        max_subscriptions=settings.max_subscriptions,
        leaving=leaving,
        rules=tuning.transport,
    )

    mcp = McpEndpoint(service, access, max_body_bytes=settings.max_body_bytes, read_only=schema.mutation_type is None)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Each part depends on those started before it; they stop in the reverse order.
        async with AsyncExitStack() as started:
            if demo is not None:
                await started.enter_async_context(demo)
            await started.enter_async_context(poller)
            await store.open()
            started.push_async_callback(store.close)
            await started.enter_async_context(events)
            await started.enter_async_context(webhooks)
            await started.enter_async_context(operations)
            await started.enter_async_context(deployments)
            started.enter_context(Recorder(events, poller, operations, deployments))
            await started.enter_async_context(sampler)
            await started.enter_async_context(service)
            await started.enter_async_context(mcp)
            yield

    async def ready() -> bool:
        if poller.snapshot is not None:
            await service.refresh()
        # Not before the first snapshot: that would wait for it, and a probe gives up after 1 or 2 s.
        return poller.snapshot is not None and not poller.snapshot.stale

    compressor = Compressor()
    stored = StoredAnswers(service, Results() if tuning.cached else Results(capacity=0))
    application = Application(
        HttpEndpoint(
            service,
            stored,
            access,
            compressor,
            max_body_bytes=settings.max_body_bytes,
            leaving=leaving,
            rules=tuning.transport,
        ),
        websocket,
        Texts(
            schema,
            access,
            compressor,
            introspection=settings.introspection,
            trusted_only=settings.trusted_documents,
        ),
        RestEndpoint(
            service,
            schema,
            stored,
            access,
            compressor,
            max_body_bytes=settings.max_body_bytes,
            rules=tuning.transport,
        ),
        mcp,
        is_rest=is_rest,
        lifespan=lifespan,
        ready=ready,
        access=access,
        metrics=service.metrics,
        mirror=Mirror(poller, clock.elapsed),
        membership=membership,
        root_path=settings.root_path,
    )
    service.metrics.add(ClusterCollector(lambda: poller.snapshot, clock.elapsed))
    service.metrics.add(DeploymentCollector(deployments))
    service.metrics.add(ModelCollector(lambda: poller.snapshot, deployments))
    service.metrics.add(EventCollector(events))
    service.metrics.add(ReplicaCollector(membership))
    if settings.webhook_url:
        service.metrics.add(WebhookCollector(webhooks))
    service.metrics.add(
        ServerCollector(
            operations,
            lambda: poller.stats,
            lambda: service.live.subscriber_count,
            lambda: websocket.connection_count,
            lambda: service.waits.count,
        )
    )
    roots = {"", settings.root_path.rstrip("/")}
    probes = [root + probe for root in roots for probe in PROBES]
    policy = OriginPolicy(application, settings.allowed_host, settings.allowed_origin, probes=probes)
    return Components(
        policy, service, poller, store, operations, deployments, events, webhooks, websocket, mcp, demo, leaving
    )


def simulated(speed: float, faults: Sequence[str]) -> SimulatedExo:
    """The simulated exo with the values of `--fault`. Raises `SettingsError` for an invalid one."""
    try:
        return SimulatedExo(speed=speed, faults=[parse_fault(text) for text in faults])
    except ValueError as error:
        raise SettingsError("fault", f"{error}.") from error


def _deployments_file(settings: Settings, rules: OperationRules, time_zone: str) -> Source | None:
    if settings.deployments is None:
        return None
    try:
        return opened(settings.deployments, rules, time_zone)
    except InvalidFile as error:
        raise SettingsError("deployments", f"{settings.deployments}, {error}") from error


def _persisted(settings: Settings, documents: Documents) -> PersistedDocuments:
    """The documents that are known by an id. Raises `SettingsError` where the directory holds an invalid one."""
    given: dict[str, str] = {}
    if settings.documents is not None:
        try:
            given = read_documents(settings.documents, documents, document_names())
        except InvalidDocument as error:
            raise SettingsError("documents", str(error)) from error
    return PersistedDocuments(
        lambda: {name: document(name).text for name in document_names()} | given,
        lambda: {name: document(name).text for name in document_names("mcp")} | dashboard_documents(),
        trusted_only=settings.trusted_documents,
    )


def _webhooks(settings: Settings, events: EventLog, store: Store) -> Webhooks:
    """The webhooks. Raises `SettingsError` if the secret cannot be read or made."""
    if not settings.webhook_url:
        return Webhooks((), (), events, store, now=clock.now)
    try:
        secrets = parse_secrets(settings.webhook_secret.get_secret_value())
        secrets = secrets or (stored_secret(settings.state_dir),)
    except OSError as error:
        raise SettingsError("webhook_secret", f"none is given, and none can be kept: {error}.") from error
    except ValueError as error:
        raise SettingsError("webhook_secret", f"{error}.") from error
    try:
        https = any(url.startswith("https:") for url in settings.webhook_url)
        context = client_context(settings.ca_file) if https else None
    except NoCertificates as error:
        raise SettingsError(error.name, error.message) from error
    return Webhooks(targets(settings.webhook_url), secrets, events, store, now=clock.now, tls=context)


def _tokens(settings: Settings) -> tuple[Token, ...]:
    """The configured tokens. Raises `SettingsError` if they cannot be read, or are missing where they are needed."""
    text, source = settings.tokens.get_secret_value(), "tokens"
    try:
        tokens = parse_tokens(text)
        if settings.tokens_file is not None:
            source = "tokens_file"
            text += "\n" + _read_tokens(settings.tokens_file)
            tokens = parse_tokens(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(source, f"{settings.tokens_file} cannot be read: {reason}.") from error
    except BadToken as error:
        raise SettingsError(source, f"{error}.") from error
    if not tokens and text:
        # For example an empty file: to serve without tokens instead would open the server to everyone.
        raise SettingsError(
            source, "neither --tokens nor --tokens-file holds any token. Leave both out to require none."
        )
    if not tokens and not settings.no_auth and not is_loopback(settings.host):
        raise SettingsError(
            "host",
            f"{settings.host} is reachable from other machines, and no token is configured. Configure tokens "
            "(EXO_GRAPHQL_TOKENS or --tokens-file; `exo-graphql token` makes one), or give --no-auth: then anyone who "
            "can connect has full control.",
        )
    return tokens


def _read_tokens(path: Path) -> str:
    if os.name == "posix" and path.stat().st_mode & 0o077:
        logger.warning("--tokens-file: other users can read %s; chmod 600 keeps it secret.", path)
    return path.read_text(encoding="utf-8-sig")  # some editors write a byte order mark


def _store(settings: Settings, *, in_memory: bool) -> Store:
    url = settings.database_url.get_secret_value()
    if not url:
        return SQLiteStore(None if in_memory else settings.state_dir / "operations.sqlite3")
    if importlib.util.find_spec("psycopg") is None:
        advice = "PostgreSQL needs an extra: pip install 'exo-graphql[postgres]'."
        raise SettingsError("database_url", advice)
    postgres = importlib.import_module("exo_graphql.storage.postgres")
    name = f"{socket.gethostname()}:{settings.port}"
    store: Store = postgres.PostgresStore(url, settings.namespace, elapsed=clock.elapsed, name=name)
    return store


def _poller(settings: Settings, tuning: Tuning, demo: SimulatedExo | None, gate: Gate) -> Poller:
    urls = (DEMO_URL,) if demo is not None else settings.exo_url or (DEFAULT_EXO_URL,)
    transport = None if demo is None else httpx.ASGITransport(app=demo.app)
    try:
        tls = client_context(settings.ca_file) if any(url.startswith("https:") for url in urls) else None
    except NoCertificates as error:
        raise SettingsError(error.name, error.message) from error
    readiness = replace(tuning.readiness, unseen_after=settings.unseen_after)
    if settings.demo and settings.demo_speed < 1:
        readiness = replace(readiness, lag_after=math.inf)  # its clock is slow, and would seem to fall behind
    # With 4 s, and the usual 5 s between two reads while nobody subscribes, every node would be STALE before each read.
    rules = replace(tuning.poller, idle_pause=min(tuning.poller.idle_pause, settings.unseen_after / 2))
    token = settings.exo_token.get_secret_value() or None
    return Poller(
        urls, transport=transport, tls=tls, token=token, rules=rules, readiness=readiness, now=clock.now, gate=gate
    )


def _operation_rules(settings: Settings, tuning: Tuning) -> OperationRules:
    return replace(
        tuning.operations,
        stall_seconds=settings.stall_seconds,
        max_running=settings.max_operations,
        give_up_seconds=tuning.readiness.give_up_after,
    )
