"""Random successions of bodies of `GET /state`: real documents that change a little, or break, from read to read."""

import copy
import json
import marshal
import random
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import orjson

from exo_graphql.cluster.state import State
from exo_graphql.exo.parse import NotAState, StateReader, parse_state
from tests.exo.test_reader_branches import zenoh
from tests.exo.test_reader_nodes import mac
from tests.exo.test_reader_releases import RELEASES
from tests.support.recordings import steps

Json = dict[str, Any]

_RECORDED = ("61-two-node-pipeline", "62-two-node-chat", "40-download-then-load", "50-runner-failed")
# Small, so that what is changed matters.
_DOWNLOADS = 4

_STRANGE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    1.0,
    -0.0,
    7.5,
    1e308,
    1 << 31,
    (1 << 64) - 1,
    "",
    "x",
    "Unknown",
    "é\u2028\U0001f600",
    "0001-01-01T00:00:00+12:00",
    [],
    [None],
    ["x", 1],
    {},
    {"inBytes": 1},
    {"inBytes": True},
    {"inBytes": (1 << 64) - 1},
    {"x": {"y": 1}},
    {"RunnerReady": {}},
)
# JSON that orjson reads in a way of its own, or refuses, at any place.
ODD_VALUES = (
    b'"\xff"',
    b'"\xc3\xa9"',
    b'"\xed\xa0\x80"',
    b'"\\ud800"',
    b'"\\ud83d\\ude00"',
    b'"\\u0000"',
    b'"\\q"',
    b'"\x01"',
    b"1e999",
    b"-1e999",
    b"1e-999",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"123456789012345678901234567890",
    b"-0",
    b"01",
    b"1.",
    b"NaN",
    b"-Infinity",
    b"nul",
    b"{1:2}",
    b"[1,]",
    b'{"inBytes":5,"inBytes":7}',
    b'{"a":1e999,"a":1}',
    *(b"[" * depth + b"]" * depth for depth in (240, 260, 960, 1000, *range(1015, 1026))),
)
ODD_KEYS = (b'"zz"', b'"\xff"', b'"\\u0061"', b'"\\ud800"', b'"\xc3\xa9"', b'""', b'"\\n"', b'"a\x01"')
_BLANKS = (b" ", b"\n", b"\t", b"\r", b"\x0c", b"\xef\xbb\xbf")


@cache
def _originals() -> tuple[Json, ...]:
    recorded = [step.document for name in _RECORDED for step in steps(name)[:: max(1, len(steps(name)) // 4)]]
    for document in recorded:
        for entries in document["downloads"].values():
            entries.sort(key=lambda entry: "DownloadPending" in entry)
            del entries[_DOWNLOADS:]
    return (*recorded, *RELEASES.values(), mac(), zenoh())


def _places(value: object) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys."""
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])  # type: ignore[index]  # it has keys


def _change(document: Json, chance: random.Random) -> None:
    """Changes one value at any place; each part of the state is as likely as the others."""
    if not document:
        return
    top = chance.choice(list(document))
    places = [(document, top), *_places(document[top])]
    container, key = chance.choice(places)
    match chance.choice(["delete", "retype", "add", "retag", "copy", "reorder"]):
        case "delete":
            del container[key]
        case "retype":
            container[key] = copy.deepcopy(chance.choice(_STRANGE))
        case "add" if isinstance(container, dict):
            container[chance.choice(["somethingNew", "", "é"])] = copy.deepcopy(chance.choice(_STRANGE))
        case "add":
            container.append(copy.deepcopy(chance.choice(_STRANGE)))
        case "retag" if isinstance(container, dict):
            container[f"{key}Next"] = container.pop(key)
        case "copy":
            # From another place in the same part, as where a node joins, or an entry moves.
            other, its_key = chance.choice(places)
            container[key] = copy.deepcopy(other[its_key])
        case "reorder" if isinstance(container, dict):
            container[key] = container.pop(key)
        case "reorder":
            container.reverse()


def _encoded(document: Json, chance: random.Random) -> bytes:
    if chance.random() < 0.05:
        return json.dumps(document, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    body = json.dumps(document, ensure_ascii=chance.random() < 0.1, separators=(",", ":")).encode()
    if chance.random() < 0.75:
        return body
    openings = [place for place, byte in enumerate(body) if byte == ord("{")]
    commas = [place for place, byte in enumerate(body) if byte == ord(",")]
    # The outermost levels are few among the many, and the most interesting.
    place = 1 + (0 if chance.random() < 0.3 else chance.choice(openings))
    match chance.choice(["member", "repeat", "blank", "break", "cut"]):
        case "member":
            body = body[:place] + chance.choice(ODD_KEYS) + b":" + chance.choice(ODD_VALUES) + b"," + body[place:]
        case "repeat":
            key = chance.choice(list(document) or ["x"])
            value = chance.choice([*ODD_VALUES, b"{}", b"[]", b"null"])
            body = body[:place] + orjson.dumps(key) + b":" + value + b"," + body[place:]
        case "blank":
            at = chance.choice([0, place, len(body), *commas[:1]])
            body = body[:at] + chance.choice(_BLANKS) + body[at:]
        case "break":
            at = chance.randrange(len(body))
            body = body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
        case "cut":
            body = body[: chance.randrange(len(body))]
    return body.replace(b"{,", b"{").replace(b",}", b"}") if chance.random() < 0.5 else body


def succession(seed: int, length: int = 6) -> list[bytes]:
    """Bodies that one server may receive, one after the other."""
    chance = random.Random(seed)
    document = copy.deepcopy(chance.choice(_originals()))
    bodies: list[bytes] = []
    for _ in range(length):
        if bodies and chance.random() < 0.1:
            bodies.append(chance.choice(bodies))
            continue
        if chance.random() < 0.05:
            document = copy.deepcopy(chance.choice(_originals()))
        for _ in range(chance.choice([0, 1, 1, 2, 5])):
            _change(document, chance)
        bodies.append(_encoded(document, chance))
    return bodies


def everything(value: object) -> object:
    """All that a value holds: order, types of numbers, and what `==` leaves out."""
    kind: Any = type(value)
    names = _names(kind)
    if names is not None:
        named = ((name, getattr(value, name)) for name in names)
        # exo's own documents may be nested as deep as orjson reads. Version 0 writes each value out, in order.
        return [(name, marshal.dumps(one, 0) if name == "document" else everything(one)) for name, one in named]
    if isinstance(value, dict):
        return [(key, everything(inner)) for key, inner in value.items()]
    if isinstance(value, list | tuple):
        return [everything(inner) for inner in value]
    return value if isinstance(value, frozenset) else (kind.__name__, repr(value))


@cache
def _names(kind: type) -> tuple[str, ...] | None:
    """The fields of a dataclass; None for any other type."""
    return tuple(each.name for each in fields(kind)) if is_dataclass(kind) else None


def outcome(read: Any, body: bytes) -> object:
    """Everything that a reader reads, or that it is no state."""
    try:
        state: State = read(body)
    except NotAState:
        return NotAState
    return everything(state)


def check(bodies: list[bytes]) -> int:
    """Asserts that a state read after others is what it is when read alone. Returns how many were states."""
    reader = StateReader()
    states = 0
    for number, body in enumerate(bodies):
        alone = outcome(parse_state, body)
        assert outcome(StateReader().parse, body) == alone, (number, body)
        assert outcome(reader.parse, body) == alone, (number, body)
        states += alone is not NotAState
    return states
