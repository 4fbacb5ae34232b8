"""What a trial leaves behind: what exo really held and when, what passed over the wire, and what was said."""

from dataclasses import dataclass, field

from tests.trials.scenario import Scenario


@dataclass(slots=True)
class Spell:
    """From when to when; `end` None: to the last moment watched. Seconds of the trial's clock."""

    start: float
    end: float | None = None

    def covers(self, at: float) -> bool:
        return self.start <= at and (self.end is None or at < self.end)

    def touches(self, since: float, until: float) -> bool:
        return self.start <= until and (self.end is None or self.end > since)


@dataclass(slots=True)
class Life:
    """One instance, as the simulated exo knew it. `owner`: initial, ours or somebody."""

    instance_id: str
    model: str
    owner: str
    listed: Spell
    served: list[Spell] = field(default_factory=list)
    """While all of its runners were ready, on living nodes."""
    seen: list[Spell] = field(default_factory=list)
    """The same as a reader of exo's state can know it: a dead node is only noticed after a while."""
    failures: list[float] = field(default_factory=list)
    """When a runner of it was first seen failed, attempt by attempt."""
    killed_for_memory: bool = False

    def healthy(self, since: float, until: float) -> bool:
        """Listed throughout, and neither failed nor on a dead node: ready, or on its way."""
        return (
            self.listed.start <= since
            and (self.listed.end is None or self.listed.end > until)
            and not any(since - 15.0 <= at <= until for at in self.failures)
            and not (self.served and not any(spell.touches(since, until) for spell in self.seen))
        )


@dataclass(frozen=True, slots=True)
class Command:
    """A command that reached exo. `verb`: create or delete; `ours`: sent by the server under test."""

    at: float
    verb: str
    instance_id: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Strike:
    """An act as it happened: `step` was under way; `until` its effect (a pause, a reboot) lasts."""

    kind: str
    at: float
    until: float
    step: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """A load asked for after the verdict, that fits by what the nodes really have free."""

    model: str
    admitted: bool
    answer: str


@dataclass(slots=True)
class Evidence:
    """Everything that the oracle judges by."""

    scenario: Scenario
    state: str = "STUCK"
    """SUCCEEDED, FAILED, ROLLED_BACK or CANCELLED; REFUSED: never begun; STUCK: never ended; FORGOTTEN."""
    message: str = ""
    began: float = 0.0
    ended: float = 0.0
    watched_until: float = 0.0
    lives: list[Life] = field(default_factory=list)
    reads: list[tuple[float, float]] = field(default_factory=list)
    """When each read of exo's state that the server under test had answered began and ended."""
    commands: list[Command] = field(default_factory=list)
    strikes: list[Strike] = field(default_factory=list)
    probe: Probe | None = None
    timeline: list[tuple[float, str]] = field(default_factory=list)

    def of(self, model: str) -> list[Life]:
        """Every instance that the model had."""
        return [life for life in self.lives if life.model == model]
