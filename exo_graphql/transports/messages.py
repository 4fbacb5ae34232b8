"""Messages of the protocol `graphql-transport-ws`, and its close codes.

The protocol: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
"""

from collections.abc import Mapping
from enum import Enum, unique
from typing import Any

import orjson

SUBPROTOCOL = "graphql-transport-ws"
# A close frame holds 123 bytes of reason (RFC 6455, section 5.5); what a caller sent may be longer.
_LONGEST_NAME = 40


@unique
class Close(Enum):
    """The codes that the protocol names, with their reasons."""

    GOING_AWAY = (1001, "Server is shutting down")
    BAD_REQUEST = (4400, "Invalid message received")
    UNAUTHORIZED = (4401, "Unauthorized")
    FORBIDDEN = (4403, "Forbidden")
    SUBPROTOCOL_NOT_ACCEPTABLE = (4406, "Subprotocol not acceptable")
    INIT_TIMEOUT = (4408, "Connection initialisation timeout")
    SUBSCRIBER_EXISTS = (4409, "Subscriber already exists")
    TOO_MANY_INITS = (4429, "Too many initialisation requests")


class Closing(Exception):
    """The connection must be closed with this code."""

    def __init__(self, close: Close, reason: str | None = None) -> None:
        super().__init__(close)
        self.code, default = close.value
        self.reason = reason or default


def read_message(text: str | None) -> Mapping[str, Any]:
    """The message in a text frame; None for a binary frame. Raises `Closing`."""
    if text is None:
        raise Closing(Close.BAD_REQUEST, "Messages must be text")
    try:
        message = orjson.loads(text.removeprefix("\ufeff"))
    except orjson.JSONDecodeError:
        raise Closing(Close.BAD_REQUEST, "Messages must be JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise Closing(Close.BAD_REQUEST, "Messages must be objects with a string 'type'")
    return message


def id_of(message: Mapping[str, Any]) -> str:
    """The id of a message's operation. Raises `Closing` where it has none."""
    id_ = message.get("id")
    if not isinstance(id_, str) or not id_:
        raise Closing(Close.BAD_REQUEST, "The message must have a string 'id'")
    return id_


def payload_of(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The payload of an init, a ping or a pong. Raises `Closing` unless it is an object or absent."""
    payload = message.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise Closing(Close.BAD_REQUEST, "The payload must be an object")
    return payload


def unknown_type(message: Mapping[str, Any]) -> Closing:
    """A type that clients may not send, or not in this state."""
    return Closing(Close.BAD_REQUEST, f"Unexpected message of type {ascii(message['type'][:_LONGEST_NAME])[:60]}")


def subscriber_exists(id_: str) -> Closing:
    """An id that is in use."""
    return Closing(Close.SUBSCRIBER_EXISTS, f"Subscriber for {ascii(id_[:_LONGEST_NAME])[1:-1][:60]} already exists")


def next_frame(id_: str) -> tuple[str, str]:
    """The text before and after an encoded result in a `next` message: results are encoded once for all subscribers."""
    return f'{{"id":{orjson.dumps(id_).decode()},"type":"next","payload":', "}"
