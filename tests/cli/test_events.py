"""Server-sent events, however the bytes come in."""

from collections.abc import AsyncIterator

import pytest

from exo_graphql.cli.events import Event, read_events

pytestmark = pytest.mark.anyio

STREAM = (
    ': a comment\n\nevent: next\ndata: {"name": "Studio\u2028one"}\n\n'
    "event: next\r\ndata: a\r\ndata:  b\r\nid: 7\r\n\r\nevent: complete\ndata:\n\nevent: next\ndata: cut off"
).encode()
EVENTS = [
    Event("next", '{"name": "Studio\u2028one"}'.encode()),
    Event("next", b"a\n b"),
    Event("complete", b""),
]


async def _in_pieces(size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(STREAM), size):
        yield STREAM[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
async def test_events_are_read_whole_however_the_bytes_are_split(size: int) -> None:
    assert [event async for event in read_events(_in_pieces(size))] == EVENTS
