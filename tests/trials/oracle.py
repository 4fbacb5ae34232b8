"""Whether a verdict is true: what it says against what exo held, by the trial's evidence alone.

A reader of exo cannot know what happened since its last read. So each statement is held against a window: from the
begin of the read before the last one (`_HORIZON` seconds before the verdict at most) until the verdict. A statement
that was true at any moment of it passes; one that was false all along does not.
"""

from dataclasses import dataclass

from tests.trials.claims import Claims, read
from tests.trials.evidence import Command, Evidence, Life

_READS_BACK = 2
_HORIZON = 3.0
LATE = 30.0
"""Seconds from the end of the last act's effect to the verdict, beyond the work that is left then."""
_WORK = 8.0
"""Seconds that loading or restoring one model may take (start, load and warm-up of the simulated ones: 3 to 5)."""
_SETTLE = 3.0
"""Seconds after the verdict within which what was asked for before it may still show."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `kind` groups them."""

    kind: str
    text: str

    @property
    def is_late(self) -> bool:
        """Wrong in its time alone."""
        return self.kind == "LATE"


def judge(evidence: Evidence) -> list[Finding]:
    """All that is wrong with the trial's verdict and with what was done; nothing if all is well."""
    if evidence.state in ("STUCK", "FORGOTTEN"):
        return [Finding(evidence.state, f"no verdict: {evidence.message}")]
    judged = _Judge(evidence)
    findings = [*judged.verdict(), *judged.deeds(), *judged.aftermath()]
    if not any(finding.kind.startswith("FALSE") for finding in findings):
        findings += judged.lateness()
    return findings


class _Judge:
    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.claims: Claims = read(evidence.message)
        self.until = evidence.ended
        self.since = self._horizon(evidence.ended)
        scenario = evidence.scenario
        self.load, self.unload = scenario.load, scenario.unload

    def _horizon(self, at: float) -> float:
        """What happened before may be known to whoever acts at that moment."""
        begun = sorted(start for start, end in self.evidence.reads if end <= at)
        back = begun[-_READS_BACK] if len(begun) >= _READS_BACK else self.evidence.began
        return max(back, at - _HORIZON)

    # What there is

    def _may_be_ready(self, model: str) -> bool:
        """Whether a reader could see it served at some moment of the window."""
        return any(s.touches(self.since, self.until) for life in self.evidence.of(model) for s in life.seen)

    def _must_be_ready(self, model: str) -> bool:
        """Whether it was really served all through the window."""
        lives = self.evidence.of(model)
        return any(s.covers(self.since) and s.covers(self.until) for life in lives for s in life.served)

    def _listed(self, model: str) -> list[Life]:
        """The instances that were listed all through the window."""
        lives = self.evidence.of(model)
        return [life for life in lives if life.listed.covers(self.since) and life.listed.covers(self.until)]

    def _was_ready(self, model: str) -> bool:
        """Whether it was served when the operation began."""
        return any(s.covers(self.evidence.began) for life in self.evidence.of(model) for s in life.seen)

    def _complete(self, models: tuple[str, ...]) -> bool:
        return bool(models) and all(self._may_be_ready(model) for model in models)

    def _unread(self) -> bool:
        answered = [end for _, end in self.evidence.reads if end <= self.until]
        return self.until - max(answered, default=self.evidence.began) > _HORIZON

    # The verdict and its message

    def verdict(self) -> list[Finding]:
        """Statements that are false, and losses that are kept silent."""
        found = list(self._said())
        if self.evidence.state != "REFUSED" and self._unread():
            found.append(Finding("FALSE unread", "no read of exo was answered in the last seconds before the verdict"))
        if self.evidence.state == "SUCCEEDED":
            found += self._succeeded()
        elif self.evidence.state != "REFUSED":
            found += self._silence()
        return found

    def _succeeded(self) -> list[Finding]:
        found = [
            Finding("FALSE ready", f"SUCCEEDED, and {model} is not served")
            for model in self.load
            if not self._may_be_ready(model)
        ]
        for model in self.unload:
            for life in self._listed(model):
                told = life.owner == "somebody" and model in self.claims.others
                if not told:
                    found.append(Finding("FALSE unloaded", f"SUCCEEDED, and exo lists {_tell(life)}"))
        return found

    def _said(self) -> list[Finding]:
        """Each claim of the message."""
        claims = self.claims
        found: list[Finding] = []
        found += [
            Finding("FALSE ready", f"said to be ready, and is not served: {model}")
            for model in sorted(claims.ready - set(self.load if self.evidence.state == "SUCCEEDED" else ()))
            if not self._may_be_ready(model)
        ]
        for model in sorted(claims.gone - set(self.unload if self.evidence.state == "SUCCEEDED" else ())):
            found += [
                Finding("FALSE gone", f"said to be gone, and exo lists {_tell(life)}")
                for life in self._listed(model)
                if model not in claims.others
            ]
        for model in sorted(claims.missing):
            if self._must_be_ready(model):
                found.append(Finding("FALSE missing", f"said to be missing, and is served: {model}"))
        if claims.as_before:
            models = {life.model for life in self.evidence.lives if life.owner == "initial"}
            for model in sorted(models):
                if self._was_ready(model) and not self._may_be_ready(model):
                    kind = "FALSE as before" if model in (*self.load, *self.unload) else "FALSE as before, bystander"
                    found.append(Finding(kind, f"as it was before, and {model} is not served"))
        if claims.as_before or claims.taken_back:
            found += [
                Finding("FALSE removed", f"said to be removed, and exo lists {_tell(life)}")
                for model in self.load
                for life in self._listed(model)
                if life.owner == "ours" and not self._was_ready(model)
            ]
        return found

    def _silence(self) -> list[Finding]:
        """Without success: what was served before and is not now must be named, unless the new set is complete."""
        if self.evidence.scenario.kind == "SWAP" and self._complete(self.load):
            return []
        found = []
        acts = {strike.kind for strike in self.evidence.strikes}
        for model in (*self.unload, *self.load):
            if not self._was_ready(model) or self._may_be_ready(model):
                continue
            if self.evidence.state == "ROLLED_BACK":
                found.append(Finding("FALSE rolled back", f"ROLLED_BACK, and {model} is not served"))
            elif model not in self.claims.lacking:
                found.append(Finding("FALSE silence", f"{self.evidence.state} hides that {model} is not served"))
            elif not acts & _LOSSES:
                found.append(Finding("FALSE loss", f"{model} is lost, and no act of the trial explains it"))
            elif self._could_be_restored(model):
                found.append(
                    Finding("LOSS could be restored", f"{model} is not served, though nothing stands against it")
                )
        return found

    def _could_be_restored(self, model: str) -> bool:
        """We took it away ourselves, and none of the acts makes its return impossible."""
        ours = {command.instance_id for command in self.evidence.commands if command.ours and command.verb == "delete"}
        taken = any(life.instance_id in ours and life.owner != "ours" for life in self.evidence.of(model))
        return taken and not {s.kind for s in self.evidence.strikes} & _HINDRANCES

    # What was done

    def deeds(self) -> list[Finding]:
        """Deletions of what is not ours, and placements of what is there."""
        found: list[Finding] = []
        lives = {life.instance_id: life for life in self.evidence.lives}
        created: set[str] = set()
        for command in self.evidence.commands:
            if not command.ours or command.at < self.evidence.began:
                continue
            life = lives.get(command.instance_id)
            if command.verb == "delete":
                if life is not None and life.owner != "ours" and life.model not in self.unload:
                    found.append(Finding("FALSE deletion", f"deleted {_tell(life)}, which is not ours"))
            elif command.instance_id not in created:
                created.add(command.instance_id)
                found += self._doubled(command, life)
        found += self._twins()
        memory = [life for life in self.evidence.lives if life.owner == "ours" and life.killed_for_memory]
        if memory and not {strike.kind for strike in self.evidence.strikes} & _MEMORY:
            found.append(Finding("MARGIN", f"planned without a margin: no memory for {_tell(memory[0])}"))
        return found

    def _doubled(self, command: Command, life: Life | None) -> list[Finding]:
        if life is None or (self.evidence.ended and command.at > self.evidence.ended):
            return []
        since = self._horizon(command.at)
        there = [
            other
            for other in self.evidence.of(life.model)
            if other is not life and other.healthy(since, command.at) and other.listed.start < since
        ]
        # A model that is to be unloaded is restored once its own deletion has been asked for.
        deleted = {c.instance_id for c in self.evidence.commands if c.verb == "delete" and c.at <= command.at}
        return [
            Finding("FALSE placed twice", f"placed {_tell(life)} beside {_tell(other)}")
            for other in there
            if other.instance_id not in deleted
        ]

    def _twins(self) -> list[Finding]:
        """More of ours at once than there ever were of other people's: a restore may bring back two of a model."""
        found = []
        for model in (*self.load, *self.unload):
            lives = self.evidence.of(model)
            ours = [life for life in lives if life.owner == "ours"]
            most = _most_at_once([life for life in lives if life.owner != "ours"])
            for life in ours:
                others = [other for other in ours if other.listed.covers(life.listed.start)]
                if len(others) > max(1, most):
                    found.append(Finding("FALSE placed twice", f"{len(others)} at once: {_tell(life)}"))
        return found

    # What comes after

    def aftermath(self) -> list[Finding]:
        """Nothing of an operation happens after its end, and what it was promised is free again."""
        evidence = self.evidence
        if evidence.state == "REFUSED":
            sent = [command for command in evidence.commands if command.ours and command.at >= evidence.began]
            return [Finding("FALSE refusal", f"refused, and sent {sent[0].verb}")] if sent else []
        until = evidence.watched_until
        found = [
            Finding("FALSE end", f"sent {command.verb} after the verdict")
            for command in evidence.commands
            if command.ours and evidence.ended + 0.05 < command.at <= until
        ]
        found += [
            Finding("FALSE end", f"{_tell(life)} appeared after the verdict")
            for life in evidence.lives
            if life.owner == "ours" and evidence.ended + _SETTLE < life.listed.start <= until
        ]
        probe = evidence.probe
        if probe is not None and not probe.admitted:
            found.append(Finding("FALSE reservation", f"{probe.model} fits and is not admitted: {probe.answer}"))
        return found

    def lateness(self) -> list[Finding]:
        """The end comes long after the last act, and nothing was left to do for so long."""
        evidence, scenario = self.evidence, self.evidence.scenario
        effects = [strike.until for strike in evidence.strikes]
        # The last time that a model which never loads was tried is the last act of that kind.
        effects += [at for life in evidence.lives for at in life.failures if at <= evidence.ended]
        last = max([evidence.began, *effects])
        left = _WORK * (len(self.load) + len(self.unload)) + min(scenario.busy, scenario.drain_seconds)
        if any(strike.kind in _TAKING for strike in evidence.strikes):
            left += _FOR_MEMORY
        after = evidence.ended - last
        if after <= LATE + left:
            return []
        return [Finding("LATE", f"{after:.0f} s after the last act's effect; {LATE + left:.0f} s are enough")]


_LOSSES = frozenset(
    {"delete old", "delete new", "rival", "crash old", "crash new", "node dies", "master dies", "exo restarts"}
    | {"somebody loads old", "somebody loads new"}
)
"""Acts that can cost a model."""
_HINDRANCES = frozenset(
    {"rival", "node dies", "master dies", "exo restarts", "delete old", "crash old", "load fails", "somebody loads new"}
)
"""Acts that can make the return of a model impossible, or somebody's will."""
_MEMORY = frozenset(
    {"rival", "node dies", "master dies", "exo restarts", "somebody loads new", "somebody loads old"}
    | {"crash new", "crash old"}
)
"""Acts after which memory may be short."""
_TAKING = frozenset({"rival", "somebody loads new", "somebody loads old"})
"""Acts that take the memory that the operation has freed."""
_FOR_MEMORY = 20.0
"""Seconds more: memory that does not come back is waited for thrice, after the unload (20 s), in placing (10 s), and in
restoring (20 s). Nodes report late, and a competitor cannot be told from a late report."""


def _most_at_once(lives: list[Life]) -> int:
    return max((sum(other.listed.covers(life.listed.start) for other in lives) for life in lives), default=0)


def _tell(life: Life) -> str:
    return f"{life.model} ({life.owner}, {life.instance_id[:8]})"
