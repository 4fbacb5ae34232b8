"""Values in a short text that a client copies back: with a digest of what they led to, and a check sum.

As bytes, in URL-safe base64:

    kind (1) · nonce (6) · digest (9) · check sum (4) · the value as JSON

The nonce makes each plan another one: applying a plan twice does it once, while the same plan made again tomorrow is
done again. The check sum finds a text that was not copied whole.
"""

import base64
import binascii
import hashlib
import secrets
import zlib
from dataclasses import dataclass
from typing import Any

import orjson

_KIND, _NONCE, _DIGEST, _CHECK = 1, 6, 9, 4
_HEAD = _KIND + _NONCE + _DIGEST
# The longest request that is accepted has 16 names of 256 characters on each side.
MAX_CHARACTERS = 16_000


@dataclass(frozen=True, slots=True)
class Sealed:
    """What such a text holds."""

    kind: int
    content: Any
    digest: bytes
    text: str
    """As it was sealed: what a client copied may have padding, or another alphabet of base64."""

    def matches(self, signature: object) -> bool:
        """Whether it was sealed with this signature, which is anything that JSON can hold."""
        return _digest(signature) == self.digest


def seal(kind: int, content: object, signature: object) -> str:
    """The text."""
    head = bytes([kind]) + secrets.token_bytes(_NONCE) + _digest(signature)
    body = orjson.dumps(content)
    return _written(head + _check(head, body) + body)


def unseal(text: str) -> Sealed | None:
    """What the text holds; None if it is none, or was not copied whole."""
    text = text.strip()
    if len(text) > MAX_CHARACTERS or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        head, check, body = raw[:_HEAD], raw[_HEAD : _HEAD + _CHECK], raw[_HEAD + _CHECK :]
        if len(head) < _HEAD or _check(head, body) != check:
            return None
        return Sealed(head[0], orjson.loads(body), head[-_DIGEST:], _written(raw))
    except (binascii.Error, ValueError):
        return None


def _written(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _check(head: bytes, body: bytes) -> bytes:
    return zlib.crc32(head + body).to_bytes(_CHECK)


def _digest(signature: object) -> bytes:
    return hashlib.sha256(orjson.dumps(signature)).digest()[:_DIGEST]
