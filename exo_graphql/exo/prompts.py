"""exo's state without what users sent to models: what other servers and their operators may be given."""

from typing import Any

import msgspec
import orjson

from exo_graphql.exo.parse.slices import NotSliceable, members
from exo_graphql.trimmed import trimmed

# The key of a task that holds a request: its prompts, images and options.
_KEY = "taskParams"


def without_prompts(body: bytes) -> bytes:
    """The body of a `GET /state` without any `taskParams`; everything else stays, also what is not known here.

    `body` must have been read as a state. Raises `ValueError` for one that is nested too deeply to be written again.
    """
    try:
        document = members(body)
    except NotSliceable:
        return _written(_stripped(orjson.loads(body)))
    # Only parts that may hold the key are decoded: of 4.4 MB these are a few kB of tasks.
    return trimmed(orjson.dumps({key: orjson.Fragment(_part(text)) for key, text in document.items()}))


def _part(text: msgspec.Raw) -> bytes:
    raw = bytes(text)
    # A key may be written with escapes, such as "task\u0050arams".
    return _written(_stripped(orjson.loads(raw))) if _KEY.encode() in raw or b"\\u" in raw else raw


def _stripped(value: Any) -> Any:
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            each.pop(_KEY, None)
            pending.extend(each.values())
        elif isinstance(each, list):
            pending.extend(each)
    return value


def _written(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError as error:  # orjson reads 1,024 levels and writes 254
        raise ValueError(str(error)) from error
