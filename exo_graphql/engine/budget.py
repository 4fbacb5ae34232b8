"""Whether an operation may be executed, and where: what is dear goes to a thread, what is too dear is refused."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

from graphql import DocumentNode, GraphQLSchema, OperationDefinitionNode

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.engine.cost import Costs
from exo_graphql.engine.execution import Answer, Executor
from exo_graphql.engine.limits import LimitExceeded, Limits
from exo_graphql.engine.list_sizes import ListSizes
from exo_graphql.engine.requests import GraphQLRequest
from exo_graphql.engine.worker_pool import Waiter, WorkerPool
from exo_graphql.operations import Operation
from exo_graphql.schema.context import Context

# What costs no more is executed at once. Measured: 8 ms of graphql-core's time, 0.6 ms where it is compiled.
AT_ONCE = 2_000.0
# What costs no more is executed at once if it is compiled: 3 ms.
PLAIN_AT_ONCE = 10_000.0


class Budget:
    """Executes operations so that none of them holds the event loop for long."""

    def __init__(
        self,
        schema: GraphQLSchema,
        executor: Executor,
        worker_pool: WorkerPool,
        limits: Limits,
        snapshot: Callable[[], tuple[Snapshot | None, int]],
        operations: Callable[[], Iterable[Operation]],
    ) -> None:
        """`picture`: the newest, and the version of the operations."""
        self._executor = executor
        self._worker_pool = worker_pool
        self._limits = limits
        self._costs = Costs(schema)
        self._snapshot = snapshot
        self._operations = operations
        self._sizes = ListSizes(None, operations)
        self._measured: tuple[Snapshot | None, int] | None = None

    def price(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, object] | None = None,
    ) -> float:
        """The estimated cost now. Raises `LimitExceeded`."""
        limits = self._limits
        cost = self._costs.of(document, operation, self._newest())
        if cost.total > limits.max_cost:
            raise LimitExceeded(
                "max_cost",
                limits.max_cost,
                f"an estimated cost of {cost.total:,.15g} (about one for each field of each object in the answer)",
                "Ask for fewer fields, for fewer objects by the fields' arguments, or in several requests.",
                actual=cost.total,
            )
        if cost.wishes > limits.max_wishes:
            raise LimitExceeded(
                "max_wishes",
                limits.max_wishes,
                f"{cost.wishes} fields that ask exo itself (mutations, placements)",
                "Ask in several requests.",
                actual=cost.wishes,
            )
        asked = cost.with_names(variables)
        if cost.wishes and asked > limits.max_wish_cost:
            # These wait for exo on the event loop, and so are completed there.
            raise LimitExceeded(
                "max_wish_cost",
                limits.max_wish_cost,
                f"an estimated cost of {asked:,.15g} beside mutations or placements",
                "Ask for less of what they answer, name less, and ask for the rest in a query of its own.",
                actual=asked,
            )
        return 0.0 if cost.wishes else cost.total

    def estimate(self, document: DocumentNode, operation: OperationDefinitionNode) -> float:
        """The estimated cost now, whether or not it is allowed."""
        return self._costs.of(document, operation, self._newest()).total

    async def start(
        self, request: GraphQLRequest, document: DocumentNode, context: Context, cost: float
    ) -> Answer | Awaitable[Answer]:
        """The answer, or an awaitable of it where a resolver waits.

        Raises `Overloaded` where a dear one would have to wait behind too many others.
        """
        arguments = document, context, request.variables, request.operation_name
        if cost <= PLAIN_AT_ONCE and not self._executor.is_quick(document, request.variables, request.operation_name):
            # Compiled on a thread, where it makes an answer at once if nothing has to be waited for.
            answer = await self._worker_pool.run(partial(self._executor.plain, *arguments))
            if answer is not None:
                return answer
        if cost <= AT_ONCE:
            return self._executor.execute(*arguments)
        answer = self._executor.plain(*arguments) if cost <= PLAIN_AT_ONCE else None
        if answer is not None:
            return answer
        waiter = Waiter()
        return await self._worker_pool.run(partial(self._executor.execute, *arguments, waiter), cost, waiter)

    def _newest(self) -> ListSizes:
        snapshot = self._snapshot()
        if self._measured is None or snapshot[0] is not self._measured[0] or snapshot[1] != self._measured[1]:
            self._measured = snapshot
            self._sizes = ListSizes(snapshot[0], self._operations)
        return self._sizes
