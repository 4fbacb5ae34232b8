"""One HTTP request and the way to answer it, as one value for the handlers."""

from dataclasses import dataclass
from time import perf_counter

from starlette.types import Receive, Scope, Send

from exo_graphql.transports.asgi import headers_of


@dataclass(slots=True, eq=False)
class Exchange:
    """ASGI's three arguments, and what was read off them once."""

    scope: Scope
    receive: Receive
    send: Send
    method: str
    headers: dict[bytes, bytes]
    """By lower-case name."""
    accept: str
    began: float
    """When the request arrived, by `time.perf_counter`."""

    @classmethod
    def of(cls, scope: Scope, receive: Receive, send: Send) -> "Exchange":
        """The exchange of a request that arrives now."""
        headers = headers_of(scope)
        accept = headers.get(b"accept", b"").decode("latin-1")
        return cls(scope, receive, send, scope["method"], headers, accept, perf_counter())
