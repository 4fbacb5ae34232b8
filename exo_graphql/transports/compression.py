"""gzip for large answers: on threads, which zlib lets run beside the event loop, and only so many at once."""

import asyncio
import gzip
from collections import OrderedDict

# Bytes. A smaller answer fits into a few packets, and compressing it takes longer than sending it.
MIN_COMPRESSED = 16_384
# zlib's fastest level: JSON shrinks to a tenth, 100 MB in a second. The slowest one saves a third more in ten times.
_LEVEL = 1
# Answers that are compressed at the same time; further ones are sent as they are.
_MAX_AT_ONCE = 4
# Bytes of bodies and their compressed forms that are kept: a stored answer is sent again, until the next snapshot.
_MAX_KEPT = 8 << 20


def accepts_gzip(header: bytes | None) -> bool:
    """Whether a client that sends this Accept-Encoding reads gzip (RFC 9110, section 12.5.3)."""
    if not header or (b"gzip" not in header and b"*" not in header):
        return False
    qualities = {}
    for part in header.decode("latin-1").lower().split(","):
        coding, _, parameter = part.partition(";")
        name, _, value = parameter.partition("=")
        try:
            qualities[coding.strip()] = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            qualities[coding.strip()] = 0.0
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


class Compressor:
    """Compresses on threads. Of many clients that ask for the same answer, all get one result."""

    def __init__(self) -> None:
        # By the identity of the body, since comparing large bodies takes long; each entry keeps its body alive.
        self._under_way: dict[int, asyncio.Task[bytes]] = {}
        self._kept: OrderedDict[int, tuple[bytes, bytes]] = OrderedDict()
        self._bytes = 0

    async def compressed(self, body: bytes) -> bytes | None:
        """The body as gzip; None where too much is being compressed already."""
        kept = self._kept.get(id(body))
        if kept is not None:
            return kept[1]
        task = self._under_way.get(id(body))
        if task is None:
            if len(self._under_way) >= _MAX_AT_ONCE:
                return None
            # No time in the header: equal bodies have equal bytes.
            work = asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
            task = self._under_way[id(body)] = asyncio.create_task(work, name="gzip")
            task.add_done_callback(lambda done: self._end(body, done))
        return await asyncio.shield(task)

    def _end(self, body: bytes, done: "asyncio.Task[bytes]") -> None:
        del self._under_way[id(body)]
        if done.cancelled() or done.exception() is not None:
            return
        self._kept[id(body)] = body, done.result()
        self._bytes += len(body) + len(done.result())
        while self._bytes > _MAX_KEPT:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= sum(map(len, oldest))
