"""What `build` makes from the settings alone, each part with the checks of its settings, and the tuning."""

import importlib.util
import logging
import math
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import httpx

from exo_graphql import clock
from exo_graphql.cluster.rules import DEFAULT_RULES, Rules
from exo_graphql.deployment_file.reader import InvalidFile
from exo_graphql.deployments.file import Source, opened
from exo_graphql.documents import document, document_names
from exo_graphql.engine.document_folder import InvalidDocument, read_documents
from exo_graphql.engine.documents import Documents
from exo_graphql.engine.limits import DEFAULT_LIMITS, Limits
from exo_graphql.engine.persisted import PersistedDocuments
from exo_graphql.engine.service import MAX_AGE
from exo_graphql.events.log import EventLog
from exo_graphql.exo.gate import Gate
from exo_graphql.exo.pacing import DEFAULT_POLLER_RULES, PollerRules
from exo_graphql.exo.poller import Poller
from exo_graphql.loopback import is_loopback
from exo_graphql.operations import OperationRules
from exo_graphql.operations.rules import DEFAULT_OPERATION_RULES
from exo_graphql.replicas import Roles
from exo_graphql.replicas.forward import DEFAULT_FORWARD_RULES, Forwarding, ForwardRules
from exo_graphql.settings import DEFAULT_EXO_URL, Settings, SettingsError
from exo_graphql.simulator import SimulatedExo, parse_fault
from exo_graphql.storage import Collection, Store, is_shared
from exo_graphql.storage.lease_rules import LeaseRules
from exo_graphql.storage.sqlite import SQLiteStore
from exo_graphql.tls import NoCertificates, client_context
from exo_graphql.transports.auth import BadToken, Token, parse_tokens
from exo_graphql.transports.rules import DEFAULT_TRANSPORT_RULES, TransportRules
from exo_graphql.web.dashboard.documents import dashboard_documents
from exo_graphql.webhooks.secret import parse_secrets, stored_secret
from exo_graphql.webhooks.target import targets
from exo_graphql.webhooks.webhooks import Webhooks

logger = logging.getLogger("exo_graphql")

DEMO_URL = "http://demo.exo.local"


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
    forward: ForwardRules = DEFAULT_FORWARD_RULES
    max_age: float = MAX_AGE
    """Seconds; see `MAX_AGE`."""
    cached: bool = True
    """Whether results and documents are cached. Without, the answers are the same, slower."""
    compiled: bool = True
    """Whether operations are compiled where possible. Without, the answers are the same, slower."""


DEFAULT_TUNING = Tuning()


def simulated(speed: float, faults: Sequence[str]) -> SimulatedExo:
    """The simulated exo with the values of `--fault`. Raises `SettingsError` for an invalid one."""
    try:
        return SimulatedExo(speed=speed, faults=[parse_fault(text) for text in faults])
    except ValueError as error:
        raise SettingsError("fault", f"{error}.") from error


def deployments_file_of(settings: Settings, rules: OperationRules, time_zone: str) -> Source | None:
    """The deployments file; None without one. Raises `SettingsError` where it cannot be read or is invalid."""
    if settings.deployments is None:
        return None
    try:
        return opened(settings.deployments, rules, time_zone)
    except InvalidFile as error:
        place = ", " if error.line or error.key else ": "
        raise SettingsError("deployments", f"{settings.deployments}{place}{error}") from error


def persisted_of(settings: Settings, documents: Documents) -> PersistedDocuments:
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


def webhooks_of(settings: Settings, events: EventLog, store: Store) -> Webhooks:
    """The webhooks. Raises `SettingsError` if the secret cannot be read or made."""
    if not settings.webhook_url:
        return Webhooks((), (), events, store, now=clock.now)
    try:
        secrets = parse_secrets(settings.webhook_secret.get_secret_value())
        if not secrets and settings.database_url.get_secret_value():
            # Another server that takes over would sign with a secret of its own, which receivers do not know.
            raise SettingsError(
                "webhook_secret",
                "servers that share a database must sign with the same secret. Give each of them the same one: "
                "`exo-graphql webhooks secret` prints what this machine has used until now.",
            )
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


def forwarding_of(settings: Settings, tuning: Tuning, store: Store, roles: Roles) -> Forwarding | None:
    """What sends mutations to the server that leads; None where this one always does."""
    if not is_shared(store.leadership):
        return None
    return Forwarding(
        store.leadership,
        roles,
        partial(store.some, Collection.OPERATIONS, ()),
        lease_seconds=settings.lease_seconds,
        tls=partial(client_context, settings.ca_file),
        rules=tuning.forward,
    )


def own_hosts_of(store: Store) -> tuple[str, ...]:
    """The names under which the servers that share the store reach this one."""
    url = store.leadership.own.url
    return () if url is None else (httpx.URL(url).host,)


def tokens_of(settings: Settings) -> tuple[Token, ...]:
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


def store_of(settings: Settings, *, in_memory: bool) -> Store:
    """The store, not yet open. Raises `SettingsError` where PostgreSQL is asked for and its extra is not installed."""
    url = settings.database_url.get_secret_value()
    name = f"{socket.gethostname()}:{settings.port}"
    journal = settings.state_dir / "operations.sqlite3"
    if not url:
        return SQLiteStore(None if in_memory else journal, name)
    if importlib.util.find_spec("psycopg") is None:
        advice = "PostgreSQL needs an extra: pip install 'exo-graphql[postgres]'."
        raise SettingsError("database_url", advice)
    postgres = importlib.import_module("exo_graphql.storage.postgres")
    rules = LeaseRules(settings.lease_seconds, settings.renew_seconds)
    if rules.renew_every >= rules.duration / 2:
        # One renewal that fails would cost the lease.
        raise SettingsError("renew_seconds", f"it must be less than half of --lease-seconds, {rules.duration:g}.")
    address = _own_url(settings)
    if address is None and not settings.read_only:
        logger.warning(
            "With --port 0 other servers of --database-url cannot pass mutations on to this one while it leads: give "
            "it a --port, or --advertise-url."
        )
    store: Store = postgres.PostgresStore(
        url,
        settings.namespace,
        elapsed=clock.elapsed,
        name=name,
        address=address,
        rules=rules,
        # One that never leads cannot write it there.
        journal=None if in_memory or settings.read_only else journal,
    )
    return store


def _own_url(settings: Settings) -> str | None:
    """Where other servers reach this one; None where that is not known before it listens."""
    if settings.advertise_url or not settings.port:
        return settings.advertise_url or None
    host = socket.gethostname() if settings.host in {"0.0.0.0", "::", ""} else settings.host  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def poller_of(settings: Settings, tuning: Tuning, demo: SimulatedExo | None, gate: Gate) -> Poller:
    """The reader of exo, or of `demo`. Raises `SettingsError` where certificates cannot be read."""
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
        urls,
        transport=transport,
        tls=tls,
        token=token,
        rules=rules,
        readiness=readiness,
        now=clock.now,
        gate=gate,
        awaits_past=True,
        followed_tls=partial(client_context, settings.ca_file),
        shared=bool(settings.database_url.get_secret_value()),
    )


def operation_rules_of(settings: Settings, tuning: Tuning) -> OperationRules:
    """The limits of operations."""
    return replace(
        tuning.operations,
        stall_seconds=settings.stall_seconds,
        max_running=settings.max_operations,
        give_up_seconds=tuning.readiness.give_up_after,
    )
