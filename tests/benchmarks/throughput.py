"""Requests a second, ours and the baseline's in turn: one process on one core each, load from the other."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from tests.benchmarks import bare, realistic
from tests.benchmarks.figures import Row
from tests.benchmarks.load import Load, Query, requests_per_second
from tests.benchmarks.ours import PACE
from tests.benchmarks.processes import LOAD_CORE, SERVER_CORE, Server, fetch, free_port, serving
from tests.benchmarks.scenario import FIELDS, OVERVIEW, SECOND_MODEL

GRAPHQL = "/graphql"
REPEATED = Load(GRAPHQL, (Query(OVERVIEW),))
FRESH_QUERY = Query(FIELDS.join(("query Fresh($id: ID!) {", "operation(id: $id) { id } }")), {"id": "@@"})
FRESH = Load(GRAPHQL, (FRESH_QUERY,))
UNSEEN = Load(GRAPHQL, (realistic.PLAIN,))
REALISTIC = Load(GRAPHQL, realistic.OVERVIEWS)
SMALL = Load(GRAPHQL, (Query(f'{{ modelStatus(model: "{SECOND_MODEL}") {{ ready }} }}'),))
BASELINE = Load("/v1/cluster")
CONSTANT = Load("/constant")
BARE = Load(bare.PATH)
# Each side reads exo by itself: in one state of some a task runs, and both sides do not always have the same one.
_TRIES = 20


@contextmanager
def replaying(states: Path, seconds: float) -> Iterator[Server]:
    """An exo that answers from memory, on the core of the load."""
    port = free_port()
    command = ["-m", "tests.benchmarks.replay", str(port), str(seconds), str(states)]
    with serving(command, port, "/count", LOAD_CORE) as server:
        yield server


def measure(states: Path, seconds: float, turns: int) -> list[Row]:
    """The rows of throughput. Each load runs for `seconds`, `turns` times, the sides taking turns."""
    with ExitStack() as stack:
        exo = stack.enter_context(replaying(states, PACE))
        port, other = free_port(), free_port()
        command = ["-m", "tests.benchmarks.ours", str(port), exo.url("")]
        first = (GRAPHQL, orjson.dumps({"query": "{ cluster { nodeCount } }"}))
        ours = stack.enter_context(serving(command, port, first, SERVER_CORE))
        served = ["-m", "tests.benchmarks.served", str(other), exo.url("")]
        theirs = stack.enter_context(serving(served, other, "/constant", SERVER_CORE))
        _check(ours, theirs)
        rows = []
        for name, goal, load, against in (
            ("repeated query", 25, REPEATED, BASELINE),
            ("fresh results", 6, FRESH, BASELINE),
            ("unseen documents", 1, UNSEEN, BASELINE),
            ("unseen documents of clients", 1, REALISTIC, BASELINE),
            ("fresh results, by hand", 0.8, FRESH, BARE),
            ("small question", 2, SMALL, CONSTANT),
        ):
            mine, yours = [], []
            for _ in range(turns):
                yours.append(_turn(theirs, against, seconds))
                mine.append(_turn(ours, load, seconds))
            rows.append(_row(name, goal, mine, yours))
        return rows


def _turn(server: Server, load: Load, seconds: float) -> tuple[float, float]:
    """Requests a second, and the share of its core that the server needed: where that is not near 1, wrk was slower."""
    before = server.cpu_seconds
    rate = requests_per_second(load, server.port, seconds)
    return rate, (server.cpu_seconds - before) / seconds


def _row(name: str, goal: float, mine: list[tuple[float, float]], yours: list[tuple[float, float]]) -> Row:
    ours, baseline = (median(rate for rate, _ in turns) for turns in (mine, yours))
    busy, busier = (median(share for _, share in turns) for turns in (mine, yours))
    ratio = ours / baseline
    detail = f"{ours:,.0f} requests/s with {busy:.0%} of its core against {baseline:,.0f} with {busier:.0%}"
    raw = {"ratio": ratio, "ratio_by_cpu": ratio * busier / busy, "ours": mine, "baseline": yours}
    return Row(name, f"{ratio:.2f} times", f"≥ {goal}", ratio >= goal, detail, raw)


def _check(ours: Server, theirs: Server) -> None:
    """All answer with the whole of the same cluster, or the comparison means nothing."""
    answer = orjson.loads(fetch(ours.url(GRAPHQL), orjson.dumps({"query": OVERVIEW})))
    baseline = orjson.loads(fetch(theirs.url(BASELINE.path)))
    if "errors" in answer:
        raise RuntimeError(answer["errors"])
    for query in (*UNSEEN.queries, *REALISTIC.queries):
        if b'"errors"' in fetch(ours.url(GRAPHQL), query.body.replace("@@", "0").encode()):
            raise RuntimeError(query.text)
    if len(answer["data"]["downloads"]) != len(baseline["downloads"]) or len(baseline["downloads"]) < 400:
        raise RuntimeError("the two do not list the same downloads")
    if [node["id"] for node in answer["data"]["cluster"]["nodes"]] != [node["node_id"] for node in baseline["nodes"]]:
        raise RuntimeError("the two do not list the same nodes")
    for _ in range(_TRIES):
        answer = orjson.loads(fetch(ours.url(GRAPHQL), orjson.dumps({"query": OVERVIEW})))
        if _shape({"data": orjson.loads(fetch(theirs.url(bare.PATH)))}) == _shape(answer):
            return
        time.sleep(PACE / 2)
    raise RuntimeError("the overview made by hand is another one")


def _shape(value: Any) -> Any:
    """The keys, lengths and texts, without the figures that may have moved between two answers."""
    if isinstance(value, dict):
        return {key: None if key == "observedAt" else _shape(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_shape(member) for member in value]
    return value if isinstance(value, str) else type(value) in (int, float)
