"""ETags: a client that has an answer already learns that it has not changed (RFC 9110, section 13)."""

from hashlib import blake2b

# Bytes of the hash: two different answers of one URL never share it.
_SIZE = 12


def etag_of(content: bytes) -> bytes:
    """The ETag of an answer with this content.

    Weak: the compressed form has the same one, and so has an answer that differs in clock fields alone.
    """
    return b'W/"' + blake2b(content, digest_size=_SIZE).hexdigest().encode() + b'"'


def is_unchanged(if_none_match: bytes | None, etag: bytes) -> bool:
    """Whether the client's If-None-Match names this ETag."""
    if if_none_match is None:
        return False
    opaque = etag.removeprefix(b"W/")
    given = (part.strip().removeprefix(b"W/") for part in if_none_match.split(b","))
    return any(part in (opaque, b"*") for part in given)
