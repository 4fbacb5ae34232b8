"""Every setting, once: this table feeds the flags of `serve`, the variables `EXO_GRAPHQL_*`, and the README's table."""

from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEFAULT_EXO_URL = "http://127.0.0.1:52415"


class Settings(BaseSettings):
    """What the server can be told. A flag wins over a variable, a variable over the default."""

    model_config = SettingsConfigDict(env_prefix="EXO_GRAPHQL_", frozen=True, env_ignore_empty=True, extra="forbid")

    exo_url: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description=f"Where an exo node answers; may be repeated (in the variable: separated by commas), and the next "
        f"one takes over where one fails. {DEFAULT_EXO_URL} if neither this nor --demo is given.",
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
        "download-fails:MODEL, node-dies:NODE, master-dies, hang, error, garbage.",
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
    quick_pause: float = Field(0.1, gt=0, description="Seconds: shortest pause between two reads ever.")
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
        description="Seconds without a successful read (or two pauses, if longer) until `connected` is false.",
    )
    command_timeout: float = Field(15.0, gt=0, description="Seconds: a command to exo times out after this.")

    unseen_after: float = Field(10.0, gt=0, description="Seconds: a node not seen for as long is STALE.")
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
