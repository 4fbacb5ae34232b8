"""Which content type answers a request, by what the client accepts (RFC 9110, section 12.5.1)."""

from collections.abc import Mapping, Sequence

from exo_graphql.engine.prepared import Prepared
from exo_graphql.engine.reply import Reply
from exo_graphql.engine.requests import BadRequest

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"
HTML = "text/html"


def answer_type(accept: str) -> str:
    """JSON, GRAPHQL_JSON or EVENT_STREAM. Raises `BadRequest`."""
    kind = accepted(accept, (JSON, GRAPHQL_JSON, EVENT_STREAM))
    if kind is None:
        raise BadRequest(f"Accept one of {JSON}, {GRAPHQL_JSON}, {EVENT_STREAM}.", 406)
    return kind


def check_encoding(headers: Mapping[bytes, bytes]) -> None:
    """Raises `BadRequest` for a body that is compressed: a small one could become one of any size."""
    coding = headers.get(b"content-encoding")
    if coding is not None and coding.strip().lower() not in (b"", b"identity"):
        raise BadRequest("The body must not be compressed: send it without Content-Encoding.", 415)


def refusal_type(accept: str) -> str:
    """JSON or GRAPHQL_JSON: what a refusal is sent as, also to a client that accepts neither."""
    return accepted(accept, (JSON, GRAPHQL_JSON)) or JSON


def is_streamed(prepared: Prepared | Reply, kind: str, accept: str) -> bool:
    """Whether events are the answer: the client prefers them, or names them and sends a subscription.

    A client that accepts `*/*` gets no stream, which may never end.
    """
    if kind == EVENT_STREAM:
        return True
    is_subscription = isinstance(prepared, Prepared) and prepared.is_subscription
    return is_subscription and EVENT_STREAM in accept.lower() and accepted(accept, (EVENT_STREAM,)) is not None


def accepted(accept: str | None, offers: Sequence[str]) -> str | None:
    """The content type that the client prefers, the first of equals; None if it accepts none of `offers`.

    An absent header accepts everything (RFC 9110, section 12.5.1).
    """
    if not accept:
        return offers[0]
    ranges = [_media_range(text) for text in accept.split(",") if text.strip()]
    best: tuple[float, str] | None = None
    for offer in offers:
        quality = _quality(offer, ranges)
        if quality > 0 and (best is None or quality > best[0]):
            best = quality, offer
    return best[1] if best else None


def _media_range(text: str) -> tuple[str, float]:
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return kind, float(value)
            except ValueError:
                return kind, 0.0
    return kind, 1.0


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The quality in the most specific range that matches."""
    group = offer.split("/", 1)[0] + "/*"
    given: Mapping[str, float] = dict(ranges)
    return next((given[kind] for kind in (offer, group, "*/*") if kind in given), 0.0)
