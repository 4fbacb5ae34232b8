"""Whether the result of an operation is true: it is compared with what exo held, by the trial's evidence alone.

The server cannot know what happened since its last read. So each statement is checked in a window: from the begin of
the read before the last one (`_HORIZON` seconds before the end at most) until the end of the operation. A statement
that was true at any moment of the window passes; one that was false throughout does not.
"""

from dataclasses import dataclass

from tests.trials.evidence import Command, Evidence, InstanceRecord
from tests.trials.statements import Statements, read

_READS_BACK = 2
_HORIZON = 3.0
LATE = 30.0
"""Seconds from the end of the last act's effect to the end of the operation, beyond the work that is left then."""
_WORK = 8.0
"""Seconds that loading or restoring one model may take (start, load and warm-up of the simulated ones: 3 to 5)."""
_SETTLE = 3.0
"""Seconds after the end within which the effect of an earlier command may still appear."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `kind` groups them."""

    kind: str
    text: str

    @property
    def is_late(self) -> bool:
        """Only the time is wrong."""
        return self.kind == "LATE"


def judge(evidence: Evidence) -> list[Finding]:
    """All that is wrong with the result of the trial and with the commands sent; empty if nothing is."""
    if evidence.state in ("STUCK", "FORGOTTEN"):
        return [Finding(evidence.state, f"no result: {evidence.message}")]
    judged = _Judge(evidence)
    findings = [*judged.result(), *judged.actions(), *judged.after_the_end()]
    if not any(finding.kind.startswith("FALSE") for finding in findings):
        findings += judged.lateness()
    return findings


class _Judge:
    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.statements: Statements = read(evidence.message)
        self.until = evidence.ended
        self.since = self._horizon(evidence.ended)
        scenario = evidence.scenario
        self.load, self.unload = scenario.load, scenario.unload

    def _horizon(self, at: float) -> float:
        """Until when the server may know at that moment what happened in exo."""
        begun = sorted(start for start, end in self.evidence.reads if end <= at)
        back = begun[-_READS_BACK] if len(begun) >= _READS_BACK else self.evidence.began
        return max(back, at - _HORIZON)

    # What exo holds

    def _may_be_ready(self, model: str) -> bool:
        """Whether exo's state showed it ready at some moment of the window."""
        return any(s.touches(self.since, self.until) for record in self.evidence.of(model) for s in record.seen)

    def _must_be_ready(self, model: str) -> bool:
        """Whether it was really ready throughout the window."""
        records = self.evidence.of(model)
        return any(s.covers(self.since) and s.covers(self.until) for record in records for s in record.served)

    def _listed(self, model: str) -> list[InstanceRecord]:
        """The instances that were listed throughout the window."""
        records = self.evidence.of(model)
        return [record for record in records if record.listed.covers(self.since) and record.listed.covers(self.until)]

    def _was_ready(self, model: str) -> bool:
        """Whether it was ready when the operation began."""
        return any(s.covers(self.evidence.began) for record in self.evidence.of(model) for s in record.seen)

    def _complete(self, models: tuple[str, ...]) -> bool:
        return bool(models) and all(self._may_be_ready(model) for model in models)

    def _unread(self) -> bool:
        answered = [end for _, end in self.evidence.reads if end <= self.until]
        return self.until - max(answered, default=self.evidence.began) > _HORIZON

    # The result and its message

    def result(self) -> list[Finding]:
        """False statements, and losses that are not mentioned."""
        found = list(self._stated())
        if self.evidence.state != "REFUSED" and self._unread():
            found.append(Finding("FALSE unread", "no read of exo was answered in the last seconds before the result"))
        if self.evidence.state == "SUCCEEDED":
            found += self._succeeded()
        elif self.evidence.state != "REFUSED":
            found += self._unmentioned()
        return found

    def _succeeded(self) -> list[Finding]:
        found = [
            Finding("FALSE ready", f"SUCCEEDED, and {model} is not served")
            for model in self.load
            if not self._may_be_ready(model)
        ]
        for model in self.unload:
            for record in self._listed(model):
                mentioned = record.owner == "other" and model in self.statements.others
                if not mentioned:
                    found.append(Finding("FALSE unloaded", f"SUCCEEDED, and exo lists {_describe(record)}"))
        return found

    def _stated(self) -> list[Finding]:
        """Each statement of the message."""
        statements = self.statements
        found: list[Finding] = []
        found += [
            Finding("FALSE ready", f"reported to be ready, and is not served: {model}")
            for model in sorted(statements.ready - set(self.load if self.evidence.state == "SUCCEEDED" else ()))
            if not self._may_be_ready(model)
        ]
        for model in sorted(statements.gone - set(self.unload if self.evidence.state == "SUCCEEDED" else ())):
            found += [
                Finding("FALSE gone", f"reported to be gone, and exo lists {_describe(record)}")
                for record in self._listed(model)
                if model not in statements.others
            ]
        for model in sorted(statements.missing):
            if self._must_be_ready(model):
                found.append(Finding("FALSE missing", f"reported to be missing, and is served: {model}"))
        if statements.as_before:
            models = {record.model for record in self.evidence.records if record.owner == "initial"}
            for model in sorted(models):
                if self._was_ready(model) and not self._may_be_ready(model):
                    kind = "FALSE as before" if model in (*self.load, *self.unload) else "FALSE as before, bystander"
                    found.append(Finding(kind, f"as it was before, and {model} is not served"))
        if statements.as_before or statements.taken_back:
            found += [
                Finding("FALSE removed", f"reported to be removed, and exo lists {_describe(record)}")
                for model in self.load
                for record in self._listed(model)
                if record.owner == "server" and not self._was_ready(model)
            ]
        return found

    def _unmentioned(self) -> list[Finding]:
        """Without success, a model that was ready and is not now must be named, unless the new set is complete."""
        if self.evidence.scenario.kind == "SWAP" and self._complete(self.load):
            return []
        found = []
        acts = {act.kind for act in self.evidence.performed}
        for model in (*self.unload, *self.load):
            if not self._was_ready(model) or self._may_be_ready(model):
                continue
            if self.evidence.state == "ROLLED_BACK":
                found.append(Finding("FALSE rolled back", f"ROLLED_BACK, and {model} is not served"))
            elif model not in self.statements.lacking:
                found.append(Finding("FALSE silence", f"{self.evidence.state} hides that {model} is not served"))
            elif not acts & _LOSSES:
                found.append(Finding("FALSE loss", f"{model} is lost, and no act of the trial explains it"))
            elif self._could_be_restored(model):
                found.append(Finding("LOSS could be restored", f"{model} is not served, though nothing prevents it"))
        return found

    def _could_be_restored(self, model: str) -> bool:
        """The server deleted it itself, and no act makes its return impossible."""
        deleted = {c.instance_id for c in self.evidence.commands if c.from_server and c.action == "delete"}
        taken = any(r.instance_id in deleted and r.owner != "server" for r in self.evidence.of(model))
        return taken and not {s.kind for s in self.evidence.performed} & _HINDRANCES

    # Commands

    def actions(self) -> list[Finding]:
        """Deletions of others' instances, and placements of models that are loaded."""
        found: list[Finding] = []
        records = {record.instance_id: record for record in self.evidence.records}
        created: set[str] = set()
        for command in self.evidence.commands:
            if not command.from_server or command.at < self.evidence.began:
                continue
            record = records.get(command.instance_id)
            if command.action == "delete":
                if record is not None and record.owner != "server" and record.model not in self.unload:
                    found.append(Finding("FALSE deletion", f"deleted {_describe(record)}, which it did not place"))
            elif command.instance_id not in created:
                created.add(command.instance_id)
                found += self._placed_twice(command, record)
        found += self._too_many()
        memory = [record for record in self.evidence.records if record.owner == "server" and record.killed_for_memory]
        if memory and not {act.kind for act in self.evidence.performed} & _MEMORY:
            found.append(Finding("MARGIN", f"planned without a margin: no memory for {_describe(memory[0])}"))
        return found

    def _placed_twice(self, command: Command, record: InstanceRecord | None) -> list[Finding]:
        if record is None or (self.evidence.ended and command.at > self.evidence.ended):
            return []
        since = self._horizon(command.at)
        there = [
            other
            for other in self.evidence.of(record.model)
            if other is not record and other.healthy(since, command.at) and other.listed.start < since
        ]
        # A model that is to be unloaded may be restored once its deletion was requested.
        deleted = {c.instance_id for c in self.evidence.commands if c.action == "delete" and c.at <= command.at}
        return [
            Finding("FALSE placed twice", f"placed {_describe(record)} beside {_describe(other)}")
            for other in there
            if other.instance_id not in deleted
        ]

    def _too_many(self) -> list[Finding]:
        """More instances of the server at once than there were of others: a restore may bring back two of a model."""
        found = []
        for model in (*self.load, *self.unload):
            records = self.evidence.of(model)
            servers = [record for record in records if record.owner == "server"]
            most = _most_at_once([record for record in records if record.owner != "server"])
            for record in servers:
                others = [other for other in servers if other.listed.covers(record.listed.start)]
                if len(others) > max(1, most):
                    found.append(Finding("FALSE placed twice", f"{len(others)} at once: {_describe(record)}"))
        return found

    # After the end

    def after_the_end(self) -> list[Finding]:
        """An operation does nothing after its end, and what it had reserved is free again."""
        evidence = self.evidence
        if evidence.state == "REFUSED":
            sent = [command for command in evidence.commands if command.from_server and command.at >= evidence.began]
            return [Finding("FALSE refusal", f"refused, and sent {sent[0].action}")] if sent else []
        until = evidence.watched_until
        found = [
            Finding("FALSE end", f"sent {command.action} after the end")
            for command in evidence.commands
            if command.from_server and evidence.ended + 0.05 < command.at <= until
        ]
        found += [
            Finding("FALSE end", f"{_describe(record)} appeared after the end")
            for record in evidence.records
            if record.owner == "server" and evidence.ended + _SETTLE < record.listed.start <= until
        ]
        probe = evidence.probe
        if probe is not None and not probe.admitted:
            found.append(Finding("FALSE reservation", f"{probe.model} fits and is not admitted: {probe.answer}"))
        return found

    def lateness(self) -> list[Finding]:
        """The end comes long after the last act, and the work left does not explain that."""
        evidence, scenario = self.evidence, self.evidence.scenario
        effects = [act.until for act in evidence.performed]
        # For a model that never loads, its last attempt counts as the last act.
        effects += [at for record in evidence.records for at in record.failures if at <= evidence.ended]
        last = max([evidence.began, *effects])
        left = _WORK * (len(self.load) + len(self.unload)) + min(scenario.busy, scenario.drain_seconds)
        if any(act.kind in _TAKING for act in evidence.performed):
            left += _FOR_MEMORY
        after = evidence.ended - last
        if after <= LATE + left:
            return []
        return [Finding("LATE", f"{after:.0f} s after the last act's effect; {LATE + left:.0f} s are enough")]


_LOSSES = frozenset(
    {"delete old", "delete new", "rival", "crash old", "crash new", "node dies", "master dies", "exo restarts"}
    | {"another client loads old", "another client loads new"}
)
"""Acts by which a model can be lost."""
_HINDRANCES = frozenset(
    {"rival", "node dies", "master dies", "exo restarts", "delete old", "crash old", "load fails"}
    | {"another client loads new"}
)
"""Acts that can make the restore of a model impossible, or unwanted."""
_MEMORY = frozenset(
    {"rival", "node dies", "master dies", "exo restarts", "another client loads new", "another client loads old"}
    | {"crash new", "crash old"}
)
"""Acts after which memory may be short."""
_TAKING = frozenset({"rival", "another client loads new", "another client loads old"})
"""Acts that take the memory that the operation has freed."""
_FOR_MEMORY = 20.0
"""Additional seconds: memory that is not freed is waited for three times, after the unload (20 s), in placing (10 s),
and in restoring (20 s). A late report of a node looks the same as memory taken by another client."""


def _most_at_once(records: list[InstanceRecord]) -> int:
    return max((sum(other.listed.covers(record.listed.start) for other in records) for record in records), default=0)


def _describe(record: InstanceRecord) -> str:
    return f"{record.model} ({record.owner}, {record.instance_id[:8]})"
