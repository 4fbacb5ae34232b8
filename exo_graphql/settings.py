"""Every setting, once: this table feeds the flags of `serve`, the variables `EXO_GRAPHQL_*`, and the README's table."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

import platformdirs
from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEFAULT_EXO_URL = "http://127.0.0.1:52415"


# Settings of earlier versions, and what to say of them. They are accepted for one version, and do nothing.
REMOVED = {
    "max_rate": "it saw a proxy's clients as one; limit rates in the proxy, as the README does by limit_req",
    "max_waiting": "what waits is bounded by its cost; use max_waiting_cost",
}


class Settings(BaseSettings):
    """What the server can be told. A flag wins over a variable, a variable over the default."""

    model_config = SettingsConfigDict(env_prefix="EXO_GRAPHQL_", frozen=True, env_ignore_empty=True, extra="forbid")

    exo_url: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description=f"Where an exo node answers; may be repeated (in the variable: separated by commas), and the next "
        f"one takes over where one fails. {DEFAULT_EXO_URL} if neither this nor --demo is given.",
    )
    ca_file: Path | None = Field(
        None,
        description="A file (PEM) of authorities' certificates to trust for https:// exo URLs, besides the usual "
        "ones or those of SSL_CERT_FILE.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(52416, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    root_path: str = Field("", description="The path under which a reverse proxy shows this server.")
    state_dir: Path = Field(
        default_factory=lambda: platformdirs.user_state_path("exo-graphql"),
        description="Where the journal of operations is kept. The user's state directory if not given.",
    )

    demo: bool = Field(default=False, description="Serve the embedded, simulated exo instead of a real one.")
    demo_speed: float = Field(1.0, gt=0, le=1000, description="How much faster than real time the demo runs.")
    fault: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="A fault for the demo, KIND[:TARGET][@SECONDS]; may be repeated. Kinds: load-fails:MODEL, "
        "download-fails:MODEL, node-dies:NODE, master-dies, master-hangs, hang, error, garbage.",
    )

    tokens: SecretStr = Field(
        SecretStr(""),
        description="Tokens that callers must show: operate:SECRET and read:SECRET, separated by commas or lines. "
        "Better given by the variable or by tokens_file than by the flag, which other users of the machine can see.",
    )
    tokens_file: Path | None = Field(None, description="A file of tokens, one a line, besides those of `tokens`.")
    no_auth: bool = Field(
        default=False,
        description="Listen on other addresses than loopback without any token: whoever reaches it operates.",
    )
    read_only: bool = Field(default=False, description="Leave out of the schema what changes the cluster.")
    allowed_host: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="A name under which this server may be addressed, besides IP addresses, localhost and the "
        "machine's own name; may be repeated.",
    )
    allowed_origin: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="An origin such as https://tools.example whose pages may use this server; may be repeated."
    )

    log_format: Literal["console", "json"] = Field(
        "console", description="Lines of the log: console for people, json for machines."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")

    max_age: float = Field(1.0, ge=0, description="Seconds: a query reads the state anew if the picture is older.")
    rest_pause: float = Field(1.0, gt=0, description="Seconds: shortest pause between two reads at rest.")
    rest_share: float = Field(0.05, gt=0, lt=1, description="Share of exo's time that reading may take at rest.")
    quick_pause: float = Field(0.1, gt=0, description="Seconds: shortest pause between two reads, urgent ones aside.")
    quick_share: float = Field(
        0.15, gt=0, lt=1, description="Share of exo's time while a watched model is in transition or an operation runs."
    )
    idle_pause: float = Field(5.0, gt=0, description="Seconds: shortest pause between two reads while nobody looks.")
    read_timeout: float = Field(
        1.5, gt=0, description="Seconds: a read times out after this, or after 5 times its usual cost if longer."
    )
    lost_after: float = Field(
        2.5,
        gt=0,
        description="Seconds without a good read until `connected` is false; 5 times a read's usual cost if longer.",
    )
    command_timeout: float = Field(15.0, gt=0, description="Seconds: a command to exo times out after this.")

    unseen_after: float = Field(10.0, gt=0, description="Seconds: a node not seen for as long is STALE.")
    still_after: float = Field(
        15.0, gt=0, description="Seconds: exo's master hangs when its state has not moved for as long while it is read."
    )
    give_up_after: float = Field(
        30.0, gt=0, description="Seconds: a needed download that failed is final when no byte has come for as long."
    )
    empty_grace: float = Field(
        60.0,
        ge=0,
        description="Seconds: how long the last picture stays while exo's state holds no nodes (an election).",
    )

    stall_seconds: float = Field(
        600.0, gt=0, description="Seconds: an operation fails when nothing has progressed for as long."
    )
    memory_seconds: float = Field(
        20.0, ge=0, description="Seconds: how long an unload waits for its memory to be free again."
    )
    max_operations: int = Field(20, ge=1, description="Operations that may be active at once.")

    cache: bool = Field(default=True, description="Whether results and documents may be kept and given again.")
    compiled: bool = Field(
        default=True, description="Whether plain operations are compiled. The answers are the same without, only later."
    )
    introspection: bool = Field(default=True, description="Whether the schema may be asked for; agents need it.")

    max_document_characters: int = Field(100_000, ge=1000, description="Longest document, in characters.")
    max_tokens: int = Field(10_000, ge=100, description="Tokens of a document, comments included.")
    max_depth: int = Field(
        25, ge=3, description="Selection sets within one another, those of fragments included; lists in variables, too."
    )
    max_fields: int = Field(5_000, ge=10, description="Fields of a document, fragments expanded.")
    max_pairs: int = Field(
        2_000, ge=0, description="Pairs of fields, or of fragments, at one place of the response (one field 63 times)."
    )
    max_aliases: int = Field(500, ge=0, description="Aliases in a document.")
    max_directives: int = Field(100, ge=0, description="Directives in a document.")
    max_definitions: int = Field(100, ge=1, description="Operations and fragments of a document.")
    max_list_items: int = Field(500, ge=1, description="Items of one list in arguments or variables.")
    max_variables_bytes: int = Field(100_000, ge=100, description="Size of a request's variables, about, in bytes.")
    max_errors: int = Field(20, ge=1, description="Errors of one document that are told.")
    max_cost: int = Field(
        400_000,
        ge=100,
        description="Estimated cost of one operation, about one for each field of each object. The whole overview of "
        "32 nodes with all 123 downloads of each costs 90,000.",
    )
    max_wish_cost: int = Field(
        5_000, ge=100, description="The same for one with mutations or placements, which cannot give way to others."
    )
    max_wishes: int = Field(20, ge=1, description="Mutations and placements in one request.")
    max_live_cost: int = Field(
        2_000_000, ge=100, description="Estimated cost of all live queries together; those that are shared count once."
    )
    max_waiting_cost: int = Field(
        4_000_000,
        ge=100,
        description="Estimated cost of all requests together that take long (some 10 ms or more) and are under way.",
    )
    max_connections: int = Field(12_000, ge=1, description="Connections that may be open at once, websockets included.")
    max_subscriptions: int = Field(100, ge=1, description="Operations under way on one websocket at once.")
    max_message_bytes: int = Field(200_000, ge=1000, description="Largest message on a websocket, in bytes.")
    header_timeout: float = Field(10.0, gt=0, description="Seconds: a request's headers must arrive within.")
    max_body_bytes: int = Field(1_000_000, ge=1000, description="Largest body of a request, in bytes.")
    body_timeout: float = Field(10.0, gt=0, description="Seconds: a request's body must arrive within.")
    init_timeout: float = Field(3.0, gt=0, description="Seconds: a websocket must be initialised within.")
    keep_alive: float = Field(12.0, gt=0, description="Seconds between two comments in an event stream.")
    send_timeout: float = Field(
        30.0, gt=0, description="Seconds: a client that reads nothing of what it is sent for as long is let go."
    )

    @field_validator("exo_url", "fault", "allowed_host", "allowed_origin", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("exo_url")
    @classmethod
    def _addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for given in urls:
            url = re.sub(r"(?<=://)[^/?#]*@", "", given)  # what is told holds no password
            parts = _split_url(url, DEFAULT_EXO_URL)
            if parts.query or parts.fragment or url.endswith(("?", "#")):
                raise ValueError(f"{url} has a query or a fragment; write {url.split('?')[0].split('#')[0]}")
        return urls

    @field_validator("allowed_origin")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            scheme, separator, _ = origin.partition("://")
            if not separator or not scheme:
                named = _NAME.fullmatch(origin) and (origin.lower().startswith("localhost") or "." in origin)
                example = origin if named else "tools.example"
                raise ValueError(f"{origin} is no origin: it begins with a scheme; write https://{example}")
            parts = _split_url(origin, "https://tools.example", schemes=())
            if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
                raise ValueError(f"{origin} is more than an origin; write {scheme}://{parts.netloc.rpartition('@')[2]}")
        return origins

    @field_validator("allowed_host")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _NAME.fullmatch(host) and not _is_address(host):
                found = _NAME.search(host.partition("://")[2] or host)
                raise ValueError(f"{host} is no name of a host; write {found[0] if found else 'tools.example'}")
        return tuple(host if _is_address(host) else host.partition(":")[0] for host in hosts)

    @field_validator("root_path")
    @classmethod
    def _path(cls, path: str) -> str:
        if path and not re.fullmatch(r"(/[^/?#\s]+)+/?", path):
            below = path.partition("://")[2].partition("/")[2] if "://" in path else path
            raise ValueError(f"{path} is no path; write /{below.strip('/') or 'exo'}")
        return path

    @field_validator("host")
    @classmethod
    def _listening(cls, host: str) -> str:
        return host.removeprefix("[").removesuffix("]")

    @field_validator("unseen_after")
    @classmethod
    def _seen_between_reads(cls, seconds: float, given: ValidationInfo) -> float:
        pause = given.data.get("idle_pause", 0.0)
        if pause >= seconds:
            raise ValueError(
                f"with {seconds:g} s every node would be STALE between two reads while nobody looks, which are "
                f"--idle-pause {pause:g} s apart; write --idle-pause {seconds / 2:g}, or --unseen-after {2 * pause:g}"
            )
        return seconds


# A name of a host, perhaps with a port, which any of its ports may have.
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)


def _is_address(host: str) -> bool:
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _split_url(url: str, example: str, schemes: tuple[str, ...] = ("http", "https")) -> SplitResult:
    """The parts of a URL that names a server. Raises ValueError, which says what to write instead."""
    if schemes and not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        with_scheme = f"http://{url}" if _NAME.fullmatch(url) else example
        raise ValueError(f"{url} must begin with http:// or https://; write {with_scheme}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        # A bracket of IPv6 that is not closed, a port that is no number.
        raise ValueError(f"{url} is no URL ({error}); write it as {example} or http://[::1]:52415") from error
    if not parts.hostname or port == 0 or any(character.isspace() for character in url):
        raise ValueError(f"{url} names no server; write it as {example}")
    return parts
