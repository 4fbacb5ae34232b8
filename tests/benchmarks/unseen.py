"""Where the time of an unseen text goes: `python -m tests.benchmarks.unseen [TURNS]`.

The documents of `realistic`, each text new, over the cluster of `scenario`; in one process, without a server. Printed
for each: its characters, and the median of milliseconds of CPU for each part. What is not proved valid is parsed by
graphql-core and validated by its rules; the last two columns say what that takes for any of them.
"""

import asyncio
import gc
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from time import thread_time
from typing import Any

import orjson
from graphql import parse, validate

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.deployments.service import Deployments
from exo_graphql.engine.complexity import check_document
from exo_graphql.engine.costs import Costs
from exo_graphql.engine.documents import Documents, document_rules
from exo_graphql.engine.execution import Executor
from exo_graphql.engine.limits import DEFAULT_LIMITS
from exo_graphql.engine.list_sizes import ListSizes
from exo_graphql.engine.simple_parser import parse_simple
from exo_graphql.operations import Operations
from exo_graphql.schema.context import Context
from exo_graphql.serve import COLLECT_AFTER
from exo_graphql.storage.sqlite import SQLiteStore
from tests.benchmarks import realistic, scenario
from tests.benchmarks.load import Query
from tests.support.asking import INDEX, SCHEMA, Recorded
from tests.support.documents import snapshot_of

_COLUMNS = ("own parser", "read", "cost", "compile", "execute", "| core: parse", "validate")
_UNCOUNTED = 5


class _Parts:
    """What a request goes through between the transport's two ends."""

    def __init__(self, snapshot: Snapshot) -> None:
        upstream, store = Recorded(snapshot), SQLiteStore(None)
        self.operations = Operations(upstream, store)
        self.deployments = Deployments(upstream, self.operations, store)
        self.snapshot = snapshot
        self.documents = Documents(SCHEMA)
        self.costs = Costs(SCHEMA)
        self.sizes = ListSizes(snapshot, self.operations.all, self.deployments.all)
        self.executor = Executor(SCHEMA)
        self._seen = 0

    def ask(self, query: Query, variables: dict[str, Any], taken: dict[str, list[float]]) -> int:
        """Answers one new text; returns its length."""
        self._seen += 1
        text = query.text.replace("@@", str(self._seen))
        with _timed(taken["own parser"]):
            parse_simple(text, DEFAULT_LIMITS)
        with _timed(taken["read"]):
            document = self.documents.read(text)
        operation = document.operation(query.operation_name)
        if document.errors or document.node is None or operation is None:
            raise RuntimeError(document.errors)
        with _timed(taken["cost"]):
            self.costs.of(document.node, operation, self.sizes, variables)
        given = variables, query.operation_name
        with _timed(taken["compile"]):
            self.executor.starts_at_once(document.node, *given)
        context = Context(self.snapshot, self.operations, self.deployments, lambda: 0.0, schema_index=INDEX)
        with _timed(taken["execute"]):
            answer = self.executor.execute_compiled(document.node, context, *given)
        if answer is None:
            raise RuntimeError("not compiled")
        with _timed(taken["| core: parse"]):
            node = parse(text)
            check_document(node, DEFAULT_LIMITS)
        with _timed(taken["validate"]):
            validate(SCHEMA, node, document_rules())
        return len(text)


@contextmanager
def _timed(taken: list[float]) -> Iterator[None]:
    began = thread_time()
    yield
    taken.append(1e3 * (thread_time() - began))


def main(turns: str = "40") -> None:
    """Prints the table."""
    parts = _Parts(snapshot_of(orjson.loads(asyncio.run(scenario.bodies(1))[0])))
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)  # as the server does
    a_node = next(iter(parts.snapshot.state.nodes))
    sys.stdout.write(f"{'':24}{'chars':>6}{''.join(f'{name:>15}' for name in _COLUMNS)}\n")
    for name, query in realistic.KINDS.items():
        given = orjson.loads(orjson.dumps(query.variables).replace(realistic.NODE_ID.encode(), a_node.encode()))
        taken: defaultdict[str, list[float]] = defaultdict(list)
        for _ in range(int(turns) + _UNCOUNTED):
            length = parts.ask(query, given, taken)
        figures = (statistics.median(taken[column][_UNCOUNTED:]) for column in _COLUMNS)
        sys.stdout.write(f"{name:24}{length:6}{''.join(f'{figure:15.3f}' for figure in figures)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
