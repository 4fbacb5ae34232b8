"""Ingest: from the bytes of a state to a snapshot, against decoding alone; and how that grows with the cluster."""

import gc
from collections.abc import Callable
from time import perf_counter

import orjson

from exo_graphql import clock
from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.snapshot import Source
from exo_graphql.exo.parse import parse_state
from tests.benchmarks.figures import Row
from tests.benchmarks.scenario import multiplied, snapshot_after

NODES = (4, 32, 128)
_SOURCE = Source("http://exo", "the-node")


def measure(bodies: list[bytes], turns: int) -> Row:
    """The row of the ingest. Each size is read `turns` times, by turns with decoding alone."""
    ratios, milliseconds = {}, {}
    for nodes in NODES:
        before, body = (multiplied(each, nodes // NODES[0]) for each in bodies[:2])
        previous = snapshot_after([before])
        gc.collect()

        def read(body: bytes = body, previous: object = previous) -> object:
            return advance(previous, parse_state(body), clock.now(), _SOURCE)  # type: ignore[arg-type]  # as it is

        def decode(body: bytes = body) -> object:
            return orjson.loads(body)

        taken = [(_seconds(read), _seconds(decode)) for _ in range(turns)]
        # The quickest of each: what else the machine does only ever adds.
        whole, part = (min(column) for column in zip(*taken, strict=True))
        ratios[nodes] = whole / part
        milliseconds[nodes] = whole * 1e3
    growth = milliseconds[NODES[-1]] / milliseconds[NODES[1]] / (NODES[-1] / NODES[1])
    met = ratios[32] <= 3 and growth <= 1.3
    detail = "; ".join(f"{nodes} nodes {milliseconds[nodes]:.1f} ms ({ratios[nodes]:.2f} times)" for nodes in NODES)
    figure = f"{ratios[32]:.2f} times; growth {growth:.2f} of linear"
    raw = {"ratios": ratios, "milliseconds": milliseconds, "growth": growth}
    return Row("ingest", figure, "≤ 3 times; linear", met, detail, raw)


def _seconds(work: Callable[[], object]) -> float:
    gc.collect()
    began = perf_counter()
    work()
    return perf_counter() - began
