"""Every setting, once: this table makes the flags of `serve`, the variables `EXO_GRAPHQL_*`, and the README's table.

A default that a rule uses comes from that rule. What no operator has a reason to change is not a
setting but a constant with its reason, in the module that uses it (`removed_settings.py` names them).
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo

from exo_graphql import addresses
from exo_graphql.cluster.rules import DEFAULT_RULES
from exo_graphql.engine.limits import DEFAULT_LIMITS
from exo_graphql.engine.worker_pool import MAX_WAITING_COST
from exo_graphql.events.log import MAX_AGE, MAX_COUNT
from exo_graphql.events.losses import REMEMBERED
from exo_graphql.operations.rules import DEFAULT_OPERATION_RULES
from exo_graphql.storage.lease_rules import DEFAULT_LEASE_RULES
from exo_graphql.webhooks.target import targets

DEFAULT_EXO_URL = "http://127.0.0.1:52415"


class SettingsError(ValueError):
    """A setting contradicts another one, or names what cannot be used. `message` says what to do."""

    def __init__(self, setting: str, message: str, exit_code: int = 2) -> None:
        super().__init__(f"{setting}: {message}")
        self.setting = setting
        """Its name in `Settings`, or that of a variable that is no setting, such as SSL_CERT_FILE."""
        self.message = message
        self.exit_code = exit_code
        """The one that the process ends with."""


def _setting(group: str, default: Any, description: str, **bounds: Any) -> Any:
    """A field of `Settings`. `group` is the heading under which help and README list it; `bounds` are pydantic's."""
    return Field(default, description=description, json_schema_extra={"group": group}, **bounds)


def group_of(field: FieldInfo) -> str:
    """The heading under which help and README list a setting."""
    return str(field.json_schema_extra["group"])  # type: ignore[index]  # each has one, see `_setting`


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"EXO_GRAPHQL_{name.upper()}"


class Settings(BaseModel):
    """The settings of the server. A flag wins over a variable, a variable over the default.

    Not by pydantic-settings: the variables are one function here, and that would take 1.3 MB and 10 ms of each start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _with_variables(cls, given: Mapping[str, object]) -> Mapping[str, object]:
        # One that is empty counts as one that is not set.
        set_ = {name: text for name in cls.model_fields if (text := os.environ.get(variable(name)))}
        return {**set_, **given}

    exo_url: tuple[str, ...] = _setting(
        "exo",
        (),
        "URL of an exo node; may be repeated (in the variable: separated by commas). The next one takes over when one "
        f"fails. {DEFAULT_EXO_URL} if neither this nor --demo is given.",
    )
    exo_token: SecretStr = _setting(
        "exo",
        SecretStr(""),
        "The token that is sent where --exo-url is another server of this kind, http://HOST:52416/exo, or a proxy that "
        "requires one. Use the variable rather than the flag, which other users of the machine can see.",
    )
    ca_file: Path | None = _setting(
        "exo",
        None,
        "A file (PEM) with certificates of authorities to trust for https:// exo URLs, besides the usual ones or those "
        "of SSL_CERT_FILE.",
    )
    unseen_after: float = _setting(
        "exo",
        DEFAULT_RULES.unseen_after,
        "Seconds: a node that exo has not seen for this long is STALE.",
        ge=2,  # exo's state is read once a second, or less often where that would cost exo too much
    )

    loss_seconds: float = _setting(
        "exo",
        REMEMBERED.total_seconds(),
        "Seconds: a model that was lost is a reason why the cluster is not healthy for this long, unless somebody "
        "loads, unloads or acknowledges it before.",
        ge=0,
        le=10**9,
    )

    host: str = _setting("Serving", "127.0.0.1", "Address to listen on.")
    port: int = _setting("Serving", 52416, "Port to listen on; 0 takes any free one.", ge=0, le=65535)
    root_path: str = _setting("Serving", "", "Path under which a reverse proxy publishes this server.")
    log_format: Literal["console", "json"] = _setting(
        "Serving", "console", "Format of log lines: console for people, json for machines."
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting("Serving", "info", "Minimum log level.")

    tokens: SecretStr = _setting(
        "Security",
        SecretStr(""),
        "Tokens that callers must send: operate:SECRET and read:SECRET, separated by commas or lines; with a name, "
        "NAME=operate:SECRET, which events and the log show. Use the variable or --tokens-file rather than the flag, "
        "which other users of the machine can see.",
    )
    tokens_file: Path | None = _setting("Security", None, "A file of tokens, one a line, in addition to --tokens.")
    no_auth: bool = _setting(
        "Security",
        default=False,
        description="Listen on other addresses than loopback without tokens: anyone who can connect has full control.",
    )
    read_only: bool = _setting(
        "Security",
        default=False,
        description="Leave out of the schema what changes the cluster. With --database-url such a server never leads.",
    )
    introspection: bool = _setting(
        "Security", default=True, description="Whether clients may query the schema itself; agents need it."
    )
    documents: Path | None = _setting(
        "Security",
        None,
        "A directory of GraphQL documents (*.graphql) that clients may send by their name or SHA-256, besides those of "
        "this package.",
    )
    trusted_documents: bool = _setting(
        "Security",
        default=False,
        description="Execute only the documents of this package and of --documents, and no others.",
    )
    allowed_host: tuple[str, ...] = _setting(
        "Security",
        (),
        "A host name under which this server may be addressed, besides IP addresses, localhost and the machine's own "
        "name; may be repeated.",
    )
    allowed_origin: tuple[str, ...] = _setting(
        "Security", (), "An origin such as https://tools.example whose pages may use this server; may be repeated."
    )

    state_dir: Path = Field(
        default_factory=lambda: platformdirs.user_state_path("exo-graphql"),
        description="Directory of the journal of operations. By default the user's state directory.",
        json_schema_extra={"group": "Storage"},
    )
    max_events: int = _setting("Storage", MAX_COUNT, "Events that are kept in the store.", ge=100)
    max_event_days: float = _setting(
        "Storage", MAX_AGE / timedelta(days=1), "Days: events that are older are deleted.", gt=0, le=36_500
    )

    database_url: SecretStr = _setting(
        "Replicas",
        SecretStr(""),
        "A PostgreSQL database, postgresql://USER:PASSWORD@HOST/NAME, that keeps what the journal keeps, instead of "
        "--state-dir; needs the extra exo-graphql[postgres]. Servers that share it take over from each other. Use the "
        "variable rather than the flag, which other users of the machine can see.",
    )
    namespace: str = _setting(
        "Replicas",
        "default",
        "Which cluster it is, where one database keeps the journals of several.",
        min_length=1,
    )
    advertise_url: str = _setting(
        "Replicas",
        "",
        "Where the other servers of --database-url reach this one. By default http:// with --host and --port, or with "
        "the machine's name where --host is all addresses.",
    )
    lease_seconds: float = _setting(
        "Replicas",
        DEFAULT_LEASE_RULES.duration,
        "Seconds after which another server takes over from one that is gone.",
        ge=0.5,
        le=3600,
    )
    renew_seconds: float = _setting(
        "Replicas",
        DEFAULT_LEASE_RULES.renew_every,
        "Seconds between two messages of the leader to the database that it is there; less than half of "
        "--lease-seconds.",
        ge=0.1,
    )

    max_operations: int = _setting(
        "Operations", DEFAULT_OPERATION_RULES.max_running, "Operations that may be active at once.", ge=1
    )
    stall_seconds: float = _setting(
        "Operations",
        DEFAULT_OPERATION_RULES.stall_seconds,
        "Seconds: an operation fails when it has made no progress for this long.",
        gt=0,
    )

    deployments: Path | None = _setting(
        "Operations",
        None,
        "A TOML file that declares deployments, tables [deployments.NAME] with the arguments of applyDeployment. It is "
        "read again when it changes.",
    )

    webhook_url: tuple[str, ...] = _setting(
        "Webhooks",
        (),
        "URL that gets events, signed as standardwebhooks.com specifies; may be repeated (in the variable: separated "
        "by commas). Its parameters kinds=MODEL_LOST,NODE_LEFT and severity=WARNING select events and are not sent.",
    )
    webhook_secret: SecretStr = _setting(
        "Webhooks",
        SecretStr(""),
        "What webhooks are signed with: whsec_ and base64; several, separated by commas, while receivers change to a "
        "new one. Use the variable rather than the flag. By default one is made and kept in the state directory; "
        "exo-graphql webhooks secret prints it. Servers that share a --database-url need the same one.",
    )

    max_cost: int = _setting(
        "Limits",
        DEFAULT_LIMITS.max_cost,
        "Estimated cost of one operation, about one for each field of each object. The whole overview of 32 nodes with "
        "all 123 downloads of each costs 90,000.",
        ge=100,
    )
    max_live_cost: int = _setting(
        "Limits",
        DEFAULT_LIMITS.max_live_cost,
        "Estimated cost of all subscriptions together. Identical ones count once, except those to events.",
        ge=100,
    )
    max_waiting_cost: int = _setting(
        "Limits",
        MAX_WAITING_COST,
        "Estimated cost of all requests in progress that take long (about 10 ms or more).",
        ge=100,
    )
    max_connections: int = _setting("Limits", 12_000, "Open connections, websockets included.", ge=1)
    max_subscriptions: int = _setting("Limits", 100, "Operations in progress on one websocket.", ge=1)
    max_body_bytes: int = _setting("Limits", 1_000_000, "Largest body of a request, in bytes.", ge=1000)

    demo: bool = _setting(
        "Demo", default=False, description="Serve the embedded, simulated exo cluster instead of a real one."
    )
    demo_speed: float = _setting("Demo", 1.0, "How much faster than real time the demo runs.", gt=0, le=1000)
    fault: tuple[str, ...] = _setting(
        "Demo",
        (),
        "A fault for the demo, KIND[:TARGET][@SECONDS]; may be repeated. Kinds: load-fails:MODEL, "
        "download-fails:MODEL, node-dies:NODE, master-dies, master-hangs, replays, hang, error, garbage.",
    )

    @field_validator("exo_url", "fault", "allowed_host", "allowed_origin", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("webhook_url", mode="before")
    @classmethod
    def _split_webhooks(cls, value: object) -> object:
        # The kinds in a URL are separated by commas, too.
        if isinstance(value, str):
            return tuple(part.strip() for part in re.split(r"[,\s]+(?=https?://)", value.strip()) if part.strip())
        return value

    @field_validator("exo_url")
    @classmethod
    def _exo_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(addresses.exo_url(url, DEFAULT_EXO_URL) for url in urls)

    @field_validator("webhook_url")
    @classmethod
    def _webhooks(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            addresses.webhook_url(url)
        targets(urls)
        return urls

    @field_validator("exo_token")
    @classmethod
    def _sendable(cls, token: SecretStr) -> SecretStr:
        given = token.get_secret_value().strip()  # a file that holds a secret often ends with a line break
        if not all("!" <= character <= "~" for character in given):
            # The header that sends it holds nothing else, and what is wrong with a header shows its value in the log.
            raise ValueError("it must have printable ASCII characters alone, without spaces")
        return SecretStr(given)

    @field_validator("database_url")
    @classmethod
    def _database(cls, url: SecretStr) -> SecretStr:
        addresses.database_url(url.get_secret_value())
        return url

    @field_validator("advertise_url")
    @classmethod
    def _advertised(cls, url: str) -> str:
        return addresses.advertised_url(url)

    @field_validator("allowed_origin")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(addresses.origin(origin) for origin in origins)

    @field_validator("allowed_host")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(addresses.host_name(host) for host in hosts)

    @field_validator("root_path")
    @classmethod
    def _path(cls, path: str) -> str:
        return addresses.root_path(path)

    @field_validator("host")
    @classmethod
    def _listening(cls, host: str) -> str:
        return host.removeprefix("[").removesuffix("]")
