"""A line a trial, and a summary by kind."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from tests.trials.evidence import Evidence
from tests.trials.oracle import Finding

Result = tuple[Evidence, list[Finding]]


def line(evidence: Evidence, findings: list[Finding]) -> str:
    """The trial in one line."""
    scenario = evidence.scenario
    struck = "; ".join(
        f"{strike.kind} in {strike.step or 'no step'} {strike.note}".strip() for strike in evidence.strikes
    )
    missed = len(scenario.acts) - len(evidence.strikes)
    acts = (struck or "no act struck") + (f" ({missed} missed)" if missed and struck else "")
    if findings:
        verdict = " | ".join(f"{f.kind}: {f.text}" for f in findings)
        mark = "LATE" if all(f.is_late for f in findings) else "FALSE VERDICT"
        verdict = f"{mark} {verdict}"
    else:
        verdict = "OK"
    return (
        f"{scenario.seed:5d} {scenario.shape} on {scenario.nodes} [{acts}] "
        f"{evidence.state} {evidence.message!r} in {evidence.ended - evidence.began:.0f} s; "
        f"exo holds {held(evidence)}: {verdict}"
    )


def held(evidence: Evidence) -> str:
    """What exo holds at the verdict."""
    models = []
    for life in evidence.lives:
        if life.listed.covers(evidence.ended):
            served = any(spell.covers(evidence.ended) for spell in life.served)
            models.append(f"{life.model.removeprefix('test/')}{'' if served else ' (not ready)'}")
    return ", ".join(sorted(models)) or "nothing"


def timeline(evidence: Evidence) -> Iterable[str]:
    """What happened, with the seconds since the operation was asked for."""
    yield f"      acts ordered: {'; '.join(map(str, evidence.scenario.acts))}"
    for at, text in evidence.timeline:
        yield f"    {at - evidence.began:8.2f}  {text}"


def summary(results: Iterable[Result]) -> Iterable[str]:
    """How many of each kind, which seeds, and what the acts struck."""
    results = list(results)
    kinds: dict[str, list[int]] = defaultdict(list)
    states: Counter[str] = Counter()
    acts: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    for evidence, findings in results:
        states[evidence.state] += 1
        for strike in evidence.strikes:
            acts[strike.kind] += 1
            steps[strike.step or "before"] += 1
        for kind in dict.fromkeys(finding.kind for finding in findings):
            kinds[kind].append(evidence.scenario.seed)
    struck = sum(bool(evidence.strikes) for evidence, _ in results)
    false = sum(any(not f.is_late for f in findings) for _, findings in results)
    late = sum(bool(findings) and all(f.is_late for f in findings) for _, findings in results)
    yield f"{len(results)} trials, {struck} struck while the operation ran: {false} false verdicts, {late} late"
    yield f"  verdicts: {_counts(states)}"
    yield f"  acts: {_counts(acts)}"
    yield f"  steps struck: {_counts(steps)}"
    for kind, seeds in sorted(kinds.items()):
        yield f"  {kind}: {len(seeds)}: {', '.join(map(str, seeds))}"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())
