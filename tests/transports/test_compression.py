"""Compressing large answers: once for all who ask, beside the event loop, and bounded."""

import asyncio
import gzip
import threading
from typing import Any

import pytest

from exo_graphql.transports import compression
from exo_graphql.transports.compression import Compressor

pytestmark = pytest.mark.anyio


class Slow:
    """gzip that waits until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_go_on = threading.Event()
        self.calls = 0
        original = gzip.compress

        def slow(*arguments: Any, **options: Any) -> bytes:
            self.calls += 1
            assert threading.current_thread() is not threading.main_thread()
            assert self.may_go_on.wait(5)
            return original(*arguments, **options)

        monkeypatch.setattr(gzip, "compress", slow)


async def test_all_who_ask_at_the_same_time_get_one_result(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, compressor, body = Slow(monkeypatch), Compressor(), b"x" * 20_000
    asking = [asyncio.create_task(compressor.compressed(body)) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()  # one of them goes
    slow.may_go_on.set()
    results = await asyncio.gather(*asking[1:])
    assert slow.calls == 1
    assert {result and gzip.decompress(result) for result in results} == {body}
    assert await compressor.compressed(body) is results[0]
    assert slow.calls == 1


async def test_what_comes_while_others_are_compressed_is_sent_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, compressor = Slow(monkeypatch), Compressor()
    bodies = [bytes([number]) * 20_000 for number in range(compression._MAX_AT_ONCE)]
    asking = [asyncio.create_task(compressor.compressed(body)) for body in bodies]
    await asyncio.sleep(0)
    assert await compressor.compressed(b"another" * 5_000) is None
    slow.may_go_on.set()
    assert [gzip.decompress(result or b"") for result in await asyncio.gather(*asking)] == bodies
    assert await compressor.compressed(b"another" * 5_000) is not None


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_MAX_KEPT", 50_000)
    compressor = Compressor()
    for number in range(10):
        await compressor.compressed(bytes([number]) * 20_000)
        assert compressor._bytes <= 50_000
    assert len(compressor._kept) == 2
    assert compressor._bytes == sum(len(part) for kept in compressor._kept.values() for part in kept)
