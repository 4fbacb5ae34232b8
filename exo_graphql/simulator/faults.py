"""Injected faults: what goes wrong, where, when, and how often."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from exo_graphql.simulator.clock import Clock

Kind = Literal[
    "load-fails", "download-fails", "node-dies", "master-dies", "master-hangs", "replays", "hang", "error", "garbage"
]
_KINDS: tuple[str, ...] = get_args(Kind)
_NEEDS_TARGET = ("load-fails", "download-fails", "node-dies")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    `load-fails`, `download-fails`: `target` is a model (id, short name or base model, in any case). `node-dies`: a
    machine's name or node id. `master-hangs`: the master's process is stopped, not killed: the state does not
    change, and commands are accepted and wait for it. `replays`: the node that answers has just joined, and shows all
    states since the fault was ordered, one after the other; it needs a duration. `hang`: no request is answered;
    `error`: 500s; `garbage`: 200 with HTML.
    """

    kind: Kind
    target: str | None = None
    at: float = 0.0
    """Simulated seconds since the start."""
    duration: float | None = None
    """Simulated seconds it lasts; None: until cleared. A node that died comes back after it."""
    count: int | None = None
    """How many times it occurs (loads, downloads, requests); None: every time."""


_SPELLING = re.compile(
    r"(?P<kind>[a-z-]+)(?::(?P<target>[^@]+))?(?:@(?P<at>\d+(?:\.\d+)?)(?:\+(?P<duration>\d+(?:\.\d+)?))?)?"
)


def parse_fault(text: str) -> Fault:
    """Read `KIND[:TARGET][@SECONDS[+DURATION]]`; ValueError says what is wrong."""
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
    raise ValueError(f"{kind!r} is not one of {', '.join(_KINDS)}")


@dataclass(slots=True)
class _Order:
    fault: Fault
    since: float
    struck: int = 0

    def is_on(self, kind: Kind, now: float) -> bool:
        fault = self.fault
        return (
            fault.kind == kind
            and now >= self.since
            and (fault.duration is None or now < self.since + fault.duration)
            and (fault.count is None or self.struck < fault.count)
        )


class Faults:
    """The scheduled faults, and how often each has occurred."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._orders: list[_Order] = []

    def add(self, fault: Fault, since: float) -> None:
        """Schedule a fault to begin at the simulated time `since`."""
        self._orders.append(_Order(fault, since))

    def clear(self, kind: str | None = None) -> None:
        """Remove all faults, or those of one kind."""
        self._orders = [order for order in self._orders if kind not in (None, order.fault.kind)]

    def strikes(self, kind: Kind, names: tuple[str, ...] = ()) -> bool:
        """Whether a fault of this kind occurs now for one of `names`; counts the occurrence."""
        for order in self._orders:
            if order.is_on(kind, self._clock.now) and matches(order.fault.target, names):
                order.struck += 1
                return True
        return False

    def active(self, kind: Kind) -> tuple[float, float] | None:
        """Since when (simulated) a fault of this kind with a duration is on, and how long it lasts; None if none is."""
        for order in self._orders:
            if order.fault.duration is not None and order.is_on(kind, self._clock.now):
                return order.since, order.fault.duration
        return None

    def is_active(self, kind: Kind) -> bool:
        """Whether a fault of this kind is on, without counting an occurrence."""
        return any(order.is_on(kind, self._clock.now) for order in self._orders)


def matches(target: str | None, names: tuple[str, ...]) -> bool:
    """Whether a fault's target is one of `names`; a fault without a target matches everything."""
    return target is None or target.casefold() in (name.casefold() for name in names)
