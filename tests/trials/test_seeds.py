"""A handful of trials in the suite: each kind of operation, and those that once ended with a false verdict."""

import pytest

from tests.trials.report import line
from tests.trials.trial import trial

MENDED = [
    95,  # two copies of an old model were restored where there had been one
    188,  # the membership was waited for twice
    483,  # memory that a competitor had taken was waited for five times
    654,  # said to be missing, though another copy served
    722,  # the master died in the restore
]


@pytest.mark.parametrize("seed", [*range(1, 6), *MENDED])
def test_the_verdict_is_true(seed: int) -> None:
    evidence, findings = trial(seed)
    assert not findings, line(evidence, findings)
