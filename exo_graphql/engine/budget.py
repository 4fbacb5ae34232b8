"""Whether an operation may be executed, and where: at once, on a thread, or not at all, by its estimated cost."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

from graphql import DocumentNode, GraphQLSchema, OperationDefinitionNode

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.deployments.assess import Assessment
from exo_graphql.engine.costs import Costs
from exo_graphql.engine.documents import PARSED_AT_ONCE, located
from exo_graphql.engine.execution import Answer, Executor
from exo_graphql.engine.limits import LimitExceeded, Limits
from exo_graphql.engine.list_sizes import ListSizes
from exo_graphql.engine.requests import GraphQLRequest
from exo_graphql.engine.worker_pool import Waiter, WorkerPool
from exo_graphql.operations import Operation
from exo_graphql.schema.context import Context

# The cost up to which an operation is executed on the event loop. Measured: 8 ms of graphql-core's time, or 0.6 ms of a
# compiled plan's.
MAX_COST_AT_ONCE = 2_000.0
# The same for an operation that has a compiled plan: 3 ms.
MAX_COMPILED_COST_AT_ONCE = 10_000.0


class Budget:
    """Executes operations so that none of them holds the event loop for long."""

    def __init__(
        self,
        schema: GraphQLSchema,
        executor: Executor,
        worker_pool: WorkerPool,
        limits: Limits,
        version: Callable[[], tuple[Snapshot | None, int]],
        operations: Callable[[], Iterable[Operation]],
        deployments: Callable[[], Sequence[Assessment]],
    ) -> None:
        """`version` returns the newest snapshot, and the version of operations, deployments and events."""
        self._executor = executor
        self._worker_pool = worker_pool
        self._limits = limits
        self._costs = Costs(schema)
        self._version = version
        self._operations = operations
        self._deployments = deployments
        self._sizes = ListSizes(None, operations, deployments)
        self._sizes_of: tuple[Snapshot | None, int] | None = None
        """The version that `_sizes` were counted in."""

    def check(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, object] | None = None,
    ) -> float:
        """The estimated cost now; 0 for one that calls exo or has a calendar, which always starts at once.

        Raises `LimitExceeded`.
        """
        limits = self._limits
        cost = self._costs.of(document, operation, self._newest_sizes(), variables)
        if cost.total > limits.max_cost:
            raise LimitExceeded(
                "max_cost",
                limits.max_cost,
                f"an estimated cost of {cost.total:,.15g} (about one for each field of each object in the answer)",
                "Select fewer fields, or fewer objects by the fields' arguments, or send several requests.",
                actual=cost.total,
            )
        if cost.exo_calls + cost.calendars > limits.max_mutations:
            raise LimitExceeded(
                "max_mutations",
                limits.max_mutations,
                f"{cost.exo_calls + cost.calendars} fields that call exo or compute (mutations, placements, calendars)",
                "Send several requests.",
                actual=cost.exo_calls + cost.calendars,
            )
        total = cost.with_names(variables)
        if cost.exo_calls and total > limits.max_mutation_cost:
            # These wait for exo on the event loop, and so their results are completed there.
            raise LimitExceeded(
                "max_mutation_cost",
                limits.max_mutation_cost,
                f"an estimated cost of {total:,.15g} together with mutations or placements",
                "Select less of their results, name fewer models and nodes, and send the rest as a query of its own.",
                actual=total,
            )
        if cost.calendars and total > limits.max_calendar_cost:
            raise LimitExceeded(
                "max_calendar_cost",
                limits.max_calendar_cost,
                f"an estimated cost of {total:,.15g} together with a calendar",
                "Select fewer fields of its entries: `transition { loads { name } unloads { name } }` instead of "
                "`deployments`, which all entries repeat; and send the rest as a query of its own.",
                actual=total,
            )
        return 0.0 if cost.exo_calls or cost.calendars else cost.total

    def estimate(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, object] | None = None,
    ) -> float:
        """The estimated cost now, whether or not it is allowed."""
        return self._costs.of(document, operation, self._newest_sizes(), variables).total

    async def start(
        self, request: GraphQLRequest, document: DocumentNode, context: Context, cost: float
    ) -> Answer | Awaitable[Answer]:
        """The answer, or an awaitable of it where a resolver waits.

        Raises `Overloaded` where an expensive operation would wait behind too many others.
        """
        given = context, request.variables, request.operation_name
        execute = self._executor.execute
        if cost <= MAX_COMPILED_COST_AT_ONCE:
            compiled = partial(self._executor.execute_compiled, document, *given)
            # A long document is compiled on a thread, which then executes it as well.
            at_once = self._executor.starts_at_once(document, request.variables, request.operation_name)
            answer = compiled() if at_once else await self._worker_pool.run(compiled)
            if answer is not None:
                return answer
            execute = self._executor.execute_uncompiled
        if cost <= MAX_COST_AT_ONCE:
            if len(request.query or "") > PARSED_AT_ONCE:
                document = await self._worker_pool.run(partial(located, document))
            return execute(document, *given)
        waiter = Waiter()
        return await self._worker_pool.run(partial(execute, document, *given, waiter), cost, waiter)

    def _newest_sizes(self) -> ListSizes:
        version = self._version()
        if self._sizes_of is None or version[0] is not self._sizes_of[0] or version[1] != self._sizes_of[1]:
            self._sizes_of = version
            self._sizes = ListSizes(version[0], self._operations, self._deployments)
        return self._sizes
