"""How long a client may take, and how much it may send at once: numbers that no operator has a reason to change.

Tests construct `TransportRules` with other values.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TransportRules:
    """Limits of connections, requests and streams. Seconds, unless the name says otherwise."""

    header_timeout: float = 10.0
    """A request's headers must arrive within. A client that sends one byte a minute would hold its connection for
    ever; 64 kB of headers, the most that is read, take half a second at 1 Mbit/s."""
    body_timeout: float = 10.0
    """A request's body must arrive within. The largest one, 1 MB, takes 8 s at 1 Mbit/s."""
    init_timeout: float = 3.0
    """A websocket must send `connection_init` within. graphql-ws servers wait as long by default."""
    keep_alive: float = 12.0
    """A comment is sent as often in an event stream: proxies end a connection on which nothing moves, nginx after
    60 s. The HTML standard recommends about 15 s."""
    send_timeout: float = 30.0
    """A client that reads nothing of what was sent for as long is disconnected. A machine that changes networks is back
    within seconds; one that is not subscribes again anyway, and what waits for it takes memory until then."""
    max_message_bytes: int = 200_000
    """Largest message on a websocket: a document of 100,000 characters, with as many bytes of variables."""


DEFAULT_TRANSPORT_RULES = TransportRules()
