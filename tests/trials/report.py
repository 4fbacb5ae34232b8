"""A line a trial, and a summary by kind."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from tests.trials.evidence import Evidence
from tests.trials.oracle import Finding

Result = tuple[Evidence, list[Finding]]


def line(evidence: Evidence, findings: list[Finding]) -> str:
    """The trial in one line."""
    scenario = evidence.scenario
    performed = "; ".join(f"{act.kind} in {act.step or 'no step'} {act.note}".strip() for act in evidence.performed)
    missed = len(scenario.acts) - len(evidence.performed)
    acts = (performed or "no act performed") + (f" ({missed} missed)" if missed and performed else "")
    if findings:
        result = " | ".join(f"{f.kind}: {f.text}" for f in findings)
        mark = "LATE" if all(f.is_late for f in findings) else "FALSE RESULT"
        result = f"{mark} {result}"
    else:
        result = "OK"
    return (
        f"{scenario.seed:5d} {scenario.shape} on {scenario.nodes} [{acts}] "
        f"{evidence.state} {evidence.message!r} in {evidence.ended - evidence.began:.0f} s; "
        f"exo holds {held(evidence)}: {result}"
    )


def held(evidence: Evidence) -> str:
    """What exo holds at the result."""
    models = []
    for record in evidence.records:
        if record.listed.covers(evidence.ended):
            served = any(interval.covers(evidence.ended) for interval in record.served)
            models.append(f"{record.model.removeprefix('test/')}{'' if served else ' (not ready)'}")
    return ", ".join(sorted(models)) or "nothing"


def timeline(evidence: Evidence) -> Iterable[str]:
    """What happened, with the seconds since the operation was asked for."""
    yield f"      acts ordered: {'; '.join(map(str, evidence.scenario.acts))}"
    for at, text in evidence.timeline:
        yield f"    {at - evidence.began:8.2f}  {text}"


def summary(results: Iterable[Result]) -> Iterable[str]:
    """How many of each kind, which seeds, and which steps the acts disturbed."""
    results = list(results)
    kinds: dict[str, list[int]] = defaultdict(list)
    states: Counter[str] = Counter()
    acts: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    for evidence, findings in results:
        states[evidence.state] += 1
        for act in evidence.performed:
            acts[act.kind] += 1
            steps[act.step or "before"] += 1
        for kind in dict.fromkeys(finding.kind for finding in findings):
            kinds[kind].append(evidence.scenario.seed)
    performed = sum(bool(evidence.performed) for evidence, _ in results)
    false = sum(any(not f.is_late for f in findings) for _, findings in results)
    late = sum(bool(findings) and all(f.is_late for f in findings) for _, findings in results)
    yield f"{len(results)} trials, {performed} disturbed while the operation ran: {false} false results, {late} late"
    yield f"  results: {_counts(states)}"
    yield f"  acts: {_counts(acts)}"
    yield f"  steps disturbed: {_counts(steps)}"
    for kind, seeds in sorted(kinds.items()):
        yield f"  {kind}: {len(seeds)}: {', '.join(map(str, seeds))}"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())
