"""The composition root: makes every part of the server from the settings, and connects them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from starlette.applications import Starlette
from starlette.types import ASGIApp

from exo_graphql import clock
from exo_graphql.configured import (
    DEFAULT_TUNING,
    Tuning,
    deployments_file_of,
    forwarding_of,
    operation_rules_of,
    own_hosts_of,
    persisted_of,
    poller_of,
    simulated,
    store_of,
    tokens_of,
    webhooks_of,
)
from exo_graphql.deployments.service import Deployments
from exo_graphql.deployments.time_zone import own_time_zone
from exo_graphql.engine.documents import KEPT_DOCUMENTS, Documents, document_rules
from exo_graphql.engine.results import Results
from exo_graphql.engine.service import Service
from exo_graphql.engine.worker_pool import WorkerPool
from exo_graphql.events.log import EventLog
from exo_graphql.exo.gate import Gate, least_seconds
from exo_graphql.exo.mirror import Mirror
from exo_graphql.exo.past_keeper import PastKeeper
from exo_graphql.exo.poller import Poller
from exo_graphql.observability.collectors import (
    ClusterCollector,
    DeploymentCollector,
    ReplicaCollector,
    ServerCollector,
    WebhookCollector,
)
from exo_graphql.observability.model_collectors import EventCollector, ModelCollector
from exo_graphql.observability.recorder import Recorder
from exo_graphql.operations import Operations
from exo_graphql.replicas import Roles
from exo_graphql.replicas.candidate import Candidate
from exo_graphql.replicas.membership import Membership
from exo_graphql.replicas.reading import Reading
from exo_graphql.rest.endpoint import RestEndpoint, is_rest
from exo_graphql.schema.build import build_schema
from exo_graphql.series import Series
from exo_graphql.series.sampler import Sampler
from exo_graphql.settings import Settings, SettingsError
from exo_graphql.simulator import SimulatedExo
from exo_graphql.storage import Store, is_shared
from exo_graphql.transports.app import PROBES, Application
from exo_graphql.transports.auth import Access
from exo_graphql.transports.compression import Compressor
from exo_graphql.transports.http import HttpEndpoint
from exo_graphql.transports.mcp import McpEndpoint
from exo_graphql.transports.origin_policy import OriginPolicy
from exo_graphql.transports.replica_routes import ReplicaEndpoint
from exo_graphql.transports.stored import StoredAnswers
from exo_graphql.transports.texts import Texts
from exo_graphql.transports.websocket import WebSocketEndpoint
from exo_graphql.webhooks.webhooks import Webhooks


@dataclass(slots=True)
class Components:
    """The parts of one server that its runner and the tests need."""

    asgi: ASGIApp
    service: Service
    poller: Poller
    store: Store
    roles: Roles
    operations: Operations
    deployments: Deployments
    events: EventLog
    webhooks: Webhooks
    websocket: WebSocketEndpoint
    mcp: McpEndpoint
    demo: SimulatedExo | None
    leaving: asyncio.Event
    past: PastKeeper

    async def another_cluster(self) -> str | None:
        """Why exo is of another cluster than the servers that share the store; None if it is not, or does not answer.

        The store is connected. Raises `StoreError`.
        """
        if self.demo is not None or not is_shared(self.store.leadership):
            return None
        members = await self.past.members()
        return await self.poller.another_cluster(members) if members else None

    async def shut_down(self) -> None:
        """Ends every subscription in a way that makes its client reconnect, before the server closes its sockets."""
        self.leaving.set()
        self.service.waits.end()
        self.mcp.end()
        await self.websocket.shut_down()


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
    store = store_of(settings, in_memory=demo is not None)
    gate = Gate(lambda: store.leadership.seconds_left, least_seconds(settings.lease_seconds))
    poller = poller_of(settings, tuning, demo, gate)
    operations = Operations(poller, store, operation_rules_of(settings, tuning), clock=clock.elapsed, now=clock.utc_now)
    time_zone = own_time_zone()
    deployments = Deployments(
        poller,
        operations,
        store,
        time_zone=time_zone,
        file=deployments_file_of(settings, operations.rules, time_zone),
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
    webhooks = webhooks_of(settings, events, store)
    recorder = Recorder(events, poller, operations, deployments)
    past = PastKeeper(poller, store, now=clock.now)
    poller.same_cluster.on_another = store.leadership.resign
    candidate = Candidate(store.leadership, poller, read_only=settings.read_only, elapsed=clock.elapsed)
    roles = Roles(
        store,
        # The past after what marks unloads and loads: the first snapshot must not say that these were lost meanwhile.
        [events, webhooks, operations, deployments, recorder, past, sampler],
        candidate.may_lead,
        poller.catch_up,
    )
    access = Access(tokens_of(settings))
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
    forwarding = forwarding_of(settings, tuning, store, roles)
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
        persisted=persisted_of(settings, documents),
        introspection=settings.introspection,
        membership=membership,
        forwarder=forwarding,
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
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # Each part depends on those started before it; they stop in the reverse order.
        async with AsyncExitStack() as started:
            if demo is not None:
                await started.enter_async_context(demo)
            await started.enter_async_context(poller)
            await store.open()
            started.push_async_callback(store.close)
            await started.enter_async_context(roles)
            if is_shared(store.leadership):
                started.enter_context(Reading(poller, store.leadership))
                await started.enter_async_context(candidate)
            if forwarding is not None:
                await started.enter_async_context(forwarding)
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
        ReplicaEndpoint(service, store.leadership, roles, tuning.transport),
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
    service.metrics.add(ReplicaCollector(membership, None if forwarding is None else forwarding.ended))
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
    hosts = (*settings.allowed_host, *own_hosts_of(store))
    policy = OriginPolicy(application, hosts, settings.allowed_origin, probes=probes)
    return Components(
        policy,
        service,
        poller,
        store,
        roles,
        operations,
        deployments,
        events,
        webhooks,
        websocket,
        mcp,
        demo,
        leaving,
        past,
    )
