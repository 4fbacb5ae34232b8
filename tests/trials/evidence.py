"""The evidence of a trial: what exo held and when, which commands it received, and the result of the operation."""

from dataclasses import dataclass, field

from tests.trials.scenario import Scenario


@dataclass(slots=True)
class Interval:
    """In seconds of the trial's clock; `end` None: until the end of the trial."""

    start: float
    end: float | None = None

    def covers(self, at: float) -> bool:
        return self.start <= at and (self.end is None or at < self.end)

    def touches(self, since: float, until: float) -> bool:
        return self.start <= until and (self.end is None or self.end > since)


@dataclass(slots=True)
class InstanceRecord:
    """One instance in the simulated exo. `owner`: initial, server (under test) or other (client)."""

    instance_id: str
    model: str
    owner: str
    listed: Interval
    served: list[Interval] = field(default_factory=list)
    """While all of its runners were ready, on living nodes."""
    seen: list[Interval] = field(default_factory=list)
    """The same as exo's state shows it: a dead node is noticed only after a while."""
    failures: list[float] = field(default_factory=list)
    """When a runner of it was first seen failed, attempt by attempt."""
    killed_for_memory: bool = False

    def healthy(self, since: float, until: float) -> bool:
        """Listed throughout, and neither failed nor on a dead node: ready, or loading."""
        return (
            self.listed.start <= since
            and (self.listed.end is None or self.listed.end > until)
            and not any(since - 15.0 <= at <= until for at in self.failures)
            and not (self.served and not any(interval.touches(since, until) for interval in self.seen))
        )


@dataclass(frozen=True, slots=True)
class Command:
    """A command that reached exo. `action`: create or delete; `from_server`: sent by the server under test."""

    at: float
    action: str
    instance_id: str
    from_server: bool


@dataclass(frozen=True, slots=True)
class PerformedAct:
    """An act that was performed during `step`; its effect (a pause, a restart) lasts until `until`."""

    kind: str
    at: float
    until: float
    step: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """A load requested after the end, of a model that fits into the memory that is really free."""

    model: str
    admitted: bool
    answer: str


@dataclass(slots=True)
class Evidence:
    """Everything that the oracle uses."""

    scenario: Scenario
    state: str = "STUCK"
    """SUCCEEDED, FAILED, ROLLED_BACK or CANCELLED; REFUSED: never started; STUCK: never ended; FORGOTTEN."""
    message: str = ""
    began: float = 0.0
    ended: float = 0.0
    watched_until: float = 0.0
    records: list[InstanceRecord] = field(default_factory=list)
    reads: list[tuple[float, float]] = field(default_factory=list)
    """Begin and end of each read of exo's state that the server under test has made."""
    commands: list[Command] = field(default_factory=list)
    performed: list[PerformedAct] = field(default_factory=list)
    probe: Probe | None = None
    timeline: list[tuple[float, str]] = field(default_factory=list)

    def of(self, model: str) -> list[InstanceRecord]:
        """Every instance of the model."""
        return [record for record in self.records if record.model == model]
