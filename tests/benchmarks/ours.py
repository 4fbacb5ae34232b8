"""This project's server at a benchmark's pace: `python -m tests.benchmarks.ours PORT EXO_URL [PAUSE]`."""

import sys

from exo_graphql.configured import Tuning
from exo_graphql.exo.pacing import PollerRules
from exo_graphql.serve import block_on, run
from exo_graphql.settings import Settings

PACE = 0.25
"""Seconds between two states."""


def rules(pause: float = PACE) -> PollerRules:
    """exo's state is read again after `pause` seconds, whoever looks: this server and the baseline read alike."""
    return PollerRules(normal_pause=pause, normal_share=0.9, fast_share=0.9, idle_pause=pause)


def main(port: str, exo_url: str, pause: str = str(PACE)) -> int:
    """Serves until a signal ends it; returns the exit code."""
    settings = Settings.model_validate({"port": int(port), "exo_url": exo_url})
    return block_on(run(settings, Tuning(poller=rules(float(pause)))))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
