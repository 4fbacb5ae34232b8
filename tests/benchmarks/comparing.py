"""Comparing deployments with a snapshot: `python -m tests.benchmarks.comparing`.

200 deployments, a window each, on 32 nodes that are all joined. Printed for each row: the median and the slowest of 100
comparisons, in milliseconds. What the reconciler does at rest is the first row, once a second at most.
"""

import statistics
import sys
import time
from collections.abc import Mapping
from typing import Any

from exo_graphql.deployments.compare import compare
from exo_graphql.deployments.schedule import Window
from exo_graphql.deployments.view import View
from tests.deployments.views import deployment, later, snapshot, view

COUNT = 200
NODES = tuple(f"node-{number}" for number in range(32))
RAM = 64
OPEN, CLOSED = Window("0 11 * * *", 120, "UTC"), Window("0 15 * * *", 120, "UTC")


def _view(size: int, loaded: int, window: Window = OPEN, **more: Any) -> View:
    """The first `loaded` of the models, 1 GiB each, are there; the others have `size` GiB."""
    sizes = {f"m{number}": 1 if number < loaded else size for number in range(COUNT)}
    instances = [(f"i{number}", f"m{number}", (NODES[number % len(NODES)],)) for number in range(loaded)]
    shown = snapshot(NODES, instances, sizes=sizes, ram=RAM)
    kept = [deployment(f"d{n}", f"m{n}", owned=[f"i{n}"], schedule=(window,)) for n in range(COUNT)]
    return view(shown, *kept, **more)


def rows() -> Mapping[str, View]:
    """What is compared, by what it is called."""
    looked_at = {f"uid-d{number}": later(1) for number in range(COUNT)}
    return {
        "all ready": _view(1, COUNT),
        "all closed": _view(1, 0, CLOSED, fetch_at=looked_at),
        "all closed, weights looked for (once a minute)": _view(1, 0, CLOSED),
        "50 missing that fit on one node": _view(1, COUNT - 50),
        "50 missing that need 20 nodes": _view(1_000, COUNT - 50),
        "50 that do not fit": _view(10_000, COUNT - 50),
    }


def main() -> None:
    """Prints the rows."""
    for name, given in rows().items():
        taken = []
        for _ in range(100):
            began = time.perf_counter()
            compare(given)
            taken.append((time.perf_counter() - began) * 1000)
        sys.stdout.write(f"{name:50} {statistics.median(taken):6.2f} {max(taken):6.2f}\n")


if __name__ == "__main__":
    main()
