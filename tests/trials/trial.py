"""One seed, from its scenario to the findings about its result."""

import logging
import signal
import traceback
from types import FrameType

from tests.trials import runner
from tests.trials.evidence import Evidence
from tests.trials.oracle import Finding, judge
from tests.trials.report import Result
from tests.trials.scenario import scenario

PATIENCE = 240
"""Real seconds that one trial may take."""


def trial(seed: int) -> Result:
    """Runs in a process of its own, without logs. A trial that raises an exception is a finding, too."""
    logging.disable(logging.CRITICAL)
    wanted = scenario(seed)
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(PATIENCE)
    try:
        evidence = runner.run(wanted)
    except Exception:  # noqa: BLE001 - the other trials continue
        trace = traceback.format_exc()
        evidence = Evidence(wanted, state="BROKEN", message=trace.strip().splitlines()[-1], timeline=[(0.0, trace)])
        return evidence, [Finding("BROKEN", "the trial itself broke; -v shows where")]
    finally:
        signal.alarm(0)
        # Other tests of this process read the log.
        logging.disable(logging.NOTSET)
    return evidence, judge(evidence)


def _give_up(_: int, __: FrameType | None) -> None:
    raise TimeoutError(f"not done within {PATIENCE} s")
