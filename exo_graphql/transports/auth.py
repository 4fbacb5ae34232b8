"""Who may do what: bearer tokens with a scope; without any token, the server listens on loopback only.

exo itself has no authentication. A token is `SCOPE:SECRET` or `NAME=SCOPE:SECRET`; once one is configured, requests
without a valid one are rejected. Secrets are compared in constant time and never logged. Names are: events and the log
say by them who requested something.
"""

import hmac
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from exo_graphql.clock import elapsed
from exo_graphql.engine.rights import ANYONE, Caller, Rights
from exo_graphql.schema.errors import NamedError
from exo_graphql.transports.throttle import FailedTokens

_SHORTEST_SECRET = 8
# What is shown in events, log lines and tables, and holds none of the characters that separate tokens.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")


class BadToken(ValueError):
    """A configured token is malformed. The message does not repeat it."""


class Unauthorized(NamedError):
    """The caller sent no token, or none of the configured ones. `message` says which."""

    def __init__(self, message: str = "Token required.") -> None:
        super().__init__(
            "UNAUTHENTICATED",
            message,
            "Send the header 'Authorization: Bearer TOKEN' (over a websocket also in the payload of connection_init).",
        )


class TooManyFailures(NamedError):
    """Too many wrong tokens have come from the caller's address: this one was not checked."""

    def __init__(self, seconds: float) -> None:
        """`seconds` until a token is checked again."""
        self.retry_after = math.ceil(seconds)
        super().__init__(
            "TOO_MANY_FAILED_TOKENS",
            "Too many wrong tokens have come from this address.",
            f"Try again in {self.retry_after} s with a valid token.",
        )


@dataclass(frozen=True, slots=True)
class Token:
    """A configured token: the digest of its secret, and who its bearer is."""

    digest: bytes
    caller: Caller


def parse_tokens(text: str) -> tuple[Token, ...]:
    """Reads `operate:SECRET`, `read:SECRET` and `NAME=SCOPE:SECRET`, separated by commas or lines. Raises `BadToken`.

    Several tokens may have one name, for example while an old secret is replaced by a new one.
    """
    tokens = []
    for number, entry in enumerate(_entries(text), 1):
        described, colon, secret = entry.partition(":")
        name, named, scope = described.rpartition("=")
        name = name.strip()
        rights = {"read": Rights.READ, "operate": Rights.OPERATE}.get(scope.strip().lower())
        if not colon or rights is None:
            raise BadToken(f"token {number} must be 'read:SECRET', 'operate:SECRET' or 'NAME=operate:SECRET'")
        if named and not is_name(name):
            raise BadToken(f"token {number} must have a name of at most 63 letters, digits and . _ @ -")
        if len(secret.strip()) < _SHORTEST_SECRET:
            raise BadToken(f"token {number} must have a secret of at least {_SHORTEST_SECRET} characters")
        if not all("!" <= character <= "~" for character in secret.strip()):
            # A header holds nothing else reliably (RFC 6750, section 2.1 allows less).
            raise BadToken(f"token {number} must have a secret of printable ASCII characters without spaces")
        tokens.append(Token(_digest(secret.strip()), Caller(rights, name or None)))
    return tuple(tokens)


def is_name(text: str) -> bool:
    """Whether it may be a token's name."""
    return _NAME.fullmatch(text) is not None


def _entries(text: str) -> Iterable[str]:
    for line in text.splitlines():
        if not line.lstrip().startswith("#"):
            yield from (part.strip() for part in line.split(",") if part.strip())


def _digest(secret: str) -> bytes:
    # Digests all have the same length, so that comparing them does not reveal the secret's.
    return sha256(secret.encode()).digest()


class Access:
    """Decides who a caller is, and what it may do."""

    def __init__(self, tokens: Sequence[Token], clock: Callable[[], float] = elapsed) -> None:
        self._tokens = tuple(tokens)
        self._failed = FailedTokens(clock)

    def caller(self, authorization: str | None, address: str | None = None) -> Caller:
        """Who sends this `Authorization` header, from `address`.

        Raises `Unauthorized`, and `TooManyFailures` after too many failed tries.
        """
        if not self._tokens:
            return ANYONE
        scheme, _, secret = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized
        digest = _digest(secret.strip())
        wait = self._failed.wait(address, digest)
        if wait > 0:
            raise TooManyFailures(wait)
        found: Caller | None = None
        for token in self._tokens:  # all of them, always: the time taken reveals nothing
            same = hmac.compare_digest(token.digest, digest)
            if same and (found is None or found.rights is not Rights.OPERATE):
                found = token.caller
        if found is None:
            self._failed.failed(address)
            raise Unauthorized("This token is not valid.")
        self._failed.passed(address, digest)
        return found


def shows(authorization: str | None, secret: str | None) -> bool:
    """Whether this `Authorization` header shows the secret of the servers that share a store; never without one."""
    scheme, _, given = (authorization or "").strip().partition(" ")
    if secret is None or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(_digest(given.strip()), _digest(secret))


def authorization_in(payload: Mapping[str, object] | None) -> str | None:
    """The `Authorization` in a `connection_init` payload, as clients write it: by that name or as a bare `token`."""
    for name, value in (payload or {}).items():
        if isinstance(value, str) and name.lower() == "authorization":
            return value
    token = (payload or {}).get("token")
    return f"Bearer {token}" if isinstance(token, str) else None
