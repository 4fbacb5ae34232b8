"""This project's server, reading exo at the benchmarks' pace: `python -m tests.benchmarks.ours PORT EXO_URL`."""

import sys

from exo_graphql.app import Tuning
from exo_graphql.exo.pacing import PollerRules
from exo_graphql.serve import block_on, run
from exo_graphql.settings import Settings

PACE = 0.25
"""Seconds between two states."""
RULES = PollerRules(rest_pause=PACE, rest_share=0.9, idle_pause=PACE)
"""Of this server and of the baseline alike."""

if __name__ == "__main__":
    settings = Settings.model_validate({"port": int(sys.argv[1]), "exo_url": sys.argv[2]})
    sys.exit(block_on(run(settings, Tuning(poller=RULES))))
