"""Results that may be sent again: for the same snapshot, rights and request, byte for byte."""

from collections import OrderedDict
from collections.abc import Hashable


class Results:
    """Encoded results of one snapshot, bounded in number and bytes. A new snapshot empties it."""

    def __init__(self, *, capacity: int = 2000, max_bytes: int = 16 << 20) -> None:
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._snapshot: object = None
        self._kept: OrderedDict[Hashable, tuple[int, bytes]] = OrderedDict()
        self._bytes = 0

    @property
    def size(self) -> int:
        """Bytes of all keys and results that are stored."""
        return self._bytes

    def get(self, snapshot: object, key: Hashable) -> bytes | None:
        """The stored result, if any. `snapshot` is what results depend on besides their keys (`Service.snapshot`)."""
        if snapshot != self._snapshot:
            self._kept.clear()
            self._bytes = 0
            self._snapshot = snapshot
        kept = self._kept.get(key)
        return None if kept is None else kept[1]

    def put(self, snapshot: object, key: Hashable, size: int, result: bytes) -> None:
        """Stores a result; `size` counts its key's bytes too. A result of an older snapshot is not kept."""
        if snapshot != self._snapshot or not self._capacity or size > self._max_bytes // 4:
            return
        # Two equal requests may have been answered at the same time, before either result was stored.
        before, _ = self._kept.pop(key, (0, b""))
        self._kept[key] = size, result
        self._bytes += size - before
        while len(self._kept) > self._capacity or self._bytes > self._max_bytes:
            _, (oldest, _) = self._kept.popitem(last=False)
            self._bytes -= oldest
