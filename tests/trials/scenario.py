"""What is tried: one operation on a cluster, and the acts that disturb it. The same for the same seed."""

import random
from dataclasses import dataclass

from tests.trials.models import BIG, BYSTANDER, MIDDLE, RIVALS, SMALL, TIGHT

STEPS = {
    "load": ("plan", "place", "load"),
    "unload": ("drain", "unload", "memory"),
    "side by side": ("plan", "place", "load", "drain", "unload", "memory"),
    "unload first": ("download", "drain", "unload", "memory", "place", "load"),
}
"""The steps during which an act may be performed, by the course of the operation."""
UNDOING = ("remove", "restore")


@dataclass(frozen=True, slots=True)
class When:
    """`seconds` after `step` was first under way; without a step, after the operation (or the act before) began."""

    seconds: float
    step: str | None = None
    after_previous: bool = False

    def __str__(self) -> str:
        place = f"in {self.step}" if self.step else "after the act before" if self.after_previous else "from the start"
        return f"{place} +{self.seconds:.2f}s"


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens. `seconds`: how long it lasts; `target`: a model, `old` or `new`, or a number of times."""

    kind: str
    when: When
    target: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        what = " ".join(part for part in (self.kind, self.target, f"{self.seconds:g}s" if self.seconds else "") if part)
        return f"{what} {self.when}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """`given` is loaded when it begins; `busy`: seconds of a chat on each of `unload`."""

    seed: int
    shape: str
    way: str
    nodes: int
    given: tuple[str, ...]
    unload: tuple[str, ...]
    load: tuple[str, ...]
    min_nodes: int
    busy: float
    drain_seconds: int
    acts: tuple[Act, ...]
    given_by_us: bool = False

    @property
    def kind(self) -> str:
        """The operation's kind, as the API names it."""
        if self.load and self.unload:
            return "SWAP"
        return "LOAD" if self.load else "UNLOAD"


_SHAPES = (
    # shape, way, unload, load, minimum of nodes, weight
    ("load", "load", (), SMALL[:1], 1, 3),
    ("load on two", "load", (), SMALL[:1], 2, 2),
    ("load tight", "load", (), (TIGHT,), 1, 0.5),
    ("unload", "unload", SMALL[:1], (), 1, 3),
    ("unload on two", "unload", BIG[:1], (), 1, 2),
    ("swap 1:1", "side by side", SMALL[:1], SMALL[1:2], 1, 5),
    ("swap 1:1 on two", "side by side", SMALL[:1], SMALL[1:2], 2, 3),
    ("swap 1:2", "side by side", SMALL[:1], SMALL[1:3], 1, 4),
    ("swap 2:1", "side by side", SMALL[:2], SMALL[2:3], 1, 4),
    ("swap big", "unload first", BIG[:1], BIG[1:2], 1, 4),
    ("swap big:middles", "unload first", BIG[:1], MIDDLE[:2], 1, 4),
    ("swap middles:big", "unload first", MIDDLE[:2], BIG[:1], 1, 4),
    ("swap middle", "unload first", MIDDLE[:1], MIDDLE[1:2], 1, 2),
)

_ACTS = {
    "cancel": 4,
    "delete new": 4,
    "delete old": 4,
    "another client loads new": 2,
    "another client loads old": 3,
    "rival": 3,
    "load fails": 4,
    "crash new": 2,
    "crash old": 2,
    "node dies": 3,
    "master dies": 3,
    "exo restarts": 4,
    "exo stops": 3,
    "server killed": 4,
}
"""Kinds and their weights."""


def scenario(seed: int) -> Scenario:
    """The scenario of this seed."""
    rng = random.Random(f"trial {seed}")
    shape, way, unload, load, min_nodes, _ = rng.choices(_SHAPES, [entry[-1] for entry in _SHAPES])[0]
    nodes = rng.choice((2, 3))
    given = list(unload)
    if shape == "swap middle":
        # All other nodes are full.
        given += MIDDLE[2 : nodes + 1]
    elif rng.random() < 0.3:
        given.append(BYSTANDER)
    if shape == "load" and rng.random() < 0.15:
        given += load
    acts = _acts(rng, way)
    return Scenario(
        seed=seed,
        shape=shape,
        way=way,
        nodes=nodes,
        given=tuple(given),
        unload=tuple(unload),
        load=tuple(load),
        min_nodes=min_nodes,
        busy=rng.choice((0.0, 0.0, 4.0, 12.0)) if unload else 0.0,
        drain_seconds=rng.choice((2, 8, 30)),
        acts=acts,
        given_by_us=rng.random() < 0.3,
    )


def _acts(rng: random.Random, way: str) -> tuple[Act, ...]:
    kinds = rng.choices(list(_ACTS), list(_ACTS.values()), k=rng.choice((1, 2, 2)))
    if kinds[0] == kinds[-1] and kinds[0] in ("cancel", "load fails"):
        kinds = kinds[:1]
    # A model that fails to load does so from the beginning.
    kinds.sort(key=lambda kind: kind != "load fails")
    turned_back = False
    acts: list[Act] = []
    for number, kind in enumerate(kinds):
        steps = STEPS[way] + (UNDOING * 2 if turned_back else ())
        delay = rng.choice((0.0, rng.uniform(0, 0.4), rng.uniform(0, 2.0), rng.uniform(0, 5.0)))
        when = When(delay, rng.choice(steps))
        if number and rng.random() < 0.35:
            when = When(rng.choice((rng.uniform(0, 1.0), rng.uniform(0, 8.0))), after_previous=True)
        if kind == "load fails":
            acts.append(Act(kind, When(0.0), rng.choice(("1", "2", "always"))))
        elif kind == "rival":
            acts.append(Act(kind, when, rng.choice(RIVALS)))
        elif kind == "node dies":
            acts.append(Act(kind, when, rng.choice(("old", "new")), rng.choice((0.0, 0.0, 15.0))))
        elif kind in ("exo restarts", "server killed"):
            acts.append(Act(kind, when, "", rng.choice((0.3, 3.0, 12.0))))
        elif kind == "exo stops":
            acts.append(Act(kind, when, "", rng.choice((3.0, 12.0))))
        else:
            acts.append(Act(kind, when))
        turned_back |= kind in ("cancel", "load fails", "delete new", "crash new")
    return tuple(acts)
