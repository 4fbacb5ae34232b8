"""The history of 32 nodes: its memory, what keeping it costs, and what a dashboard costs that shows an hour of each."""

import gc
import time
import tracemalloc
from datetime import timedelta

from exo_graphql import clock
from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.snapshot import Source
from exo_graphql.exo.parse import StateReader
from exo_graphql.series import Series
from exo_graphql.series.records import encode
from exo_graphql.series.series import SAMPLE_EVERY
from exo_graphql.series.track import MINUTES, RESOLUTIONS, TEN_MINUTES
from tests.benchmarks.figures import Row
from tests.benchmarks.scenario import multiplied

NODES = 32
HOUR = 3600


def measure(bodies: list[bytes]) -> list[Row]:
    """The rows of the history, over an hour of samples."""
    snapshot, _ = advance(
        None, StateReader().parse(multiplied(bodies[0], NODES // 4)), clock.now(), Source("http://exo")
    )
    assert snapshot is not None
    assert len(snapshot.nodes) == NODES
    start = snapshot.now
    tracemalloc.start()
    series = Series(start)
    cpu = 0.0
    longest = 0.0
    for number in range(1, HOUR // SAMPLE_EVERY + 1):
        now = Moment(start.at + timedelta(seconds=SAMPLE_EVERY * number), start.elapsed + SAMPLE_EVERY * number)
        if number == 2:
            gc.collect()
            tracemalloc.stop()  # it would cost more than what is measured, and every cell is there
        snapshot.observed = now
        began = time.process_time()
        series.sample(snapshot, now)
        for resolution in (MINUTES, TEN_MINUTES):
            if number % (RESOLUTIONS[resolution][0] // SAMPLE_EVERY) == 0:
                interval = series.newest * SAMPLE_EVERY // RESOLUTIONS[resolution][0]
                means = series.means(resolution, interval)
                assert means is not None
                encode(interval, *means)
        taken = time.process_time() - began
        cpu += taken
        longest = max(longest, taken if number > 1 else 0.0)
        if number == 1:
            gc.collect()
            megabytes = tracemalloc.get_traced_memory()[0] / 1e6
    share = 100 * cpu / HOUR
    kept = f"{NODES} nodes and the cluster: 5 s for an hour, 1 min for a day, 10 min for 30 days"
    paid = f"the same, stored intervals included; the longest sample took {longest * 1e3:.1f} ms"
    return [
        Row("history, memory", f"{megabytes:.1f} MB", "≤ 3 MB", megabytes <= 3, kept, {"megabytes": megabytes}),
        Row("history, cost", f"{share:.2f} % of a core", "≤ 1 %", share <= 1, paid, {"percent": share}),
    ]
