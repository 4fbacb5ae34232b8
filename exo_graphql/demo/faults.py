"""Faults to order: what goes wrong, where, when, and how often."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from exo_graphql.demo.clock import Clock

Kind = Literal["load-fails", "download-fails", "node-dies", "master-dies", "hang", "error", "garbage"]
_KINDS: tuple[str, ...] = get_args(Kind)
_NEEDS_TARGET = ("load-fails", "download-fails", "node-dies")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    `load-fails`, `download-fails`: `target` is a model (id, short name or base model, in any case). `node-dies`: a
    machine's name or node id. `hang`: no request is answered; `error`: 500s; `garbage`: 200 with HTML.
    """

    kind: Kind
    target: str | None = None
    at: float = 0.0
    """Simulated seconds since the start."""
    duration: float | None = None
    """Simulated seconds it lasts; None: until cleared. A node that died comes back after it."""
    count: int | None = None
    """How many times it strikes (loads, downloads, requests); None: every time."""


_SPELLING = re.compile(
    r"(?P<kind>[a-z-]+)(?::(?P<target>[^@]+))?(?:@(?P<at>\d+(?:\.\d+)?)(?:\+(?P<duration>\d+(?:\.\d+)?))?)?"
)


def parse_fault(text: str) -> Fault:
    """Read `KIND[:TARGET][@SECONDS[+DURATION]]`; ValueError says what is wrong with it."""
    match = _SPELLING.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not KIND[:TARGET][@SECONDS[+DURATION]]")
    kind, target, at, duration = match.group("kind", "target", "at", "duration")
    for known in get_args(Kind):
        if kind == known:
            if kind in _NEEDS_TARGET and target is None:
                raise ValueError(f"{kind} needs a target: {kind}:NAME")
            if kind not in _NEEDS_TARGET and target is not None:
                raise ValueError(f"{kind} takes no target")
            return Fault(known, target, float(at or 0), None if duration is None else float(duration))
    raise ValueError(f"{kind!r} is none of {', '.join(_KINDS)}")


class Faults:
    """The faults ordered so far, and how often each has struck."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ordered: list[tuple[Fault, float]] = []
        self._struck: dict[int, int] = {}

    def add(self, fault: Fault, since: float) -> None:
        """Order a fault, to begin at the simulated time `since`."""
        self._ordered.append((fault, since))

    def clear(self, kind: str | None = None) -> None:
        """Call off all faults, or those of one kind."""
        self._ordered = [(fault, at) for fault, at in self._ordered if kind not in (None, fault.kind)]

    def strikes(self, kind: Kind, names: tuple[str, ...] = ()) -> bool:
        """Whether a fault of this kind strikes now a thing known by `names`; counts the strike."""
        for fault, since in self._ordered:
            if self._active(fault, since, kind) and _matches(fault.target, names):
                self._struck[id(fault)] = self._struck.get(id(fault), 0) + 1
                return True
        return False

    def is_active(self, kind: Kind) -> bool:
        """Whether a fault of this kind is on, without counting a strike."""
        return any(self._active(fault, since, kind) for fault, since in self._ordered)

    def _active(self, fault: Fault, since: float, kind: Kind) -> bool:
        now = self._clock.now
        return (
            fault.kind == kind
            and now >= since
            and (fault.duration is None or now < since + fault.duration)
            and (fault.count is None or self._struck.get(id(fault), 0) < fault.count)
        )


def _matches(target: str | None, names: tuple[str, ...]) -> bool:
    return target is None or target.casefold() in (name.casefold() for name in names)
