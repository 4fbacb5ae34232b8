"""GraphQL for every transport: a request in, an encoded answer or a stream of them out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Self

from graphql import FieldNode, GraphQLError, GraphQLSchema, OperationDefinitionNode

from exo_graphql.cluster.upstream import Unreachable, Upstream
from exo_graphql.deployments.service import Deployments
from exo_graphql.engine.budget import Budget
from exo_graphql.engine.complexity import check_variables
from exo_graphql.engine.documents import Documents, operation_error
from exo_graphql.engine.errors import Code, internal_error, new_error_id
from exo_graphql.engine.event_stream import EventSubscriber, asks_for_earlier, event_field
from exo_graphql.engine.execution import Answer, Executor, fault_of, refusal
from exo_graphql.engine.limits import LimitExceeded, Limits
from exo_graphql.engine.live import RETRY_AFTER, Live
from exo_graphql.engine.passing_on import PassingOn
from exo_graphql.engine.persisted import (
    DocumentNotFound,
    DocumentNotTrusted,
    PersistedDocuments,
    PersistedQueryNotFound,
    WrongHash,
)
from exo_graphql.engine.prepared import Prepared
from exo_graphql.engine.reply import Outcome, Reply
from exo_graphql.engine.requests import GraphQLRequest
from exo_graphql.engine.rights import Caller, Rights
from exo_graphql.engine.shared_subscription import Subscriber
from exo_graphql.engine.turns import Turns
from exo_graphql.engine.waiting import Waits
from exo_graphql.engine.worker_pool import Overloaded, WorkerPool
from exo_graphql.events import Event
from exo_graphql.events.log import EventLog
from exo_graphql.observability.metrics import Metrics
from exo_graphql.operations import Operations
from exo_graphql.replicas.membership import Membership
from exo_graphql.replicas.mutation import Forwarder
from exo_graphql.schema.context import Context, changes
from exo_graphql.schema.errors import NamedError
from exo_graphql.schema.schema_index import SchemaIndex
from exo_graphql.series import Series
from exo_graphql.webhooks.webhook import WebhookService

logger = logging.getLogger("exo_graphql")

# Seconds that mutations under way have to end at shutdown. exo accepts a command in some 40 ms.
_SETTLING_SECONDS = 1.0
# Seconds: a query reads exo's state again if the snapshot is older. With subscribers, the poller reads about as
# often, so only the first query after a while waits for exo. Ten queries a second cost exo one read.
MAX_AGE = 1.0


class Service:
    """Answers requests from the newest snapshot."""

    def __init__(
        self,
        schema: GraphQLSchema,
        documents: Documents,
        upstream: Upstream,
        operations: Operations,
        deployments: Deployments,
        events: EventLog,
        *,
        max_age: float = MAX_AGE,
        elapsed: Callable[[], float],
        worker_pool: WorkerPool | None = None,
        limits: Limits | None = None,
        persisted: PersistedDocuments | None = None,
        compiled: bool = True,
        demo: bool = False,
        series: Series | None = None,
        webhooks: WebhookService | None = None,
        introspection: bool = True,
        membership: Membership | None = None,
        forwarder: Forwarder | None = None,
    ) -> None:
        """`series`: what nodes and cluster have reported over time; None where that is not recorded.

        `forwarder`: None where this server always carries out mutations itself.
        """
        self.metrics = Metrics()
        self._limits = limits or Limits()
        self._worker_pool = worker_pool or WorkerPool()
        self._documents = documents
        self._persisted = persisted or PersistedDocuments()
        self._upstream = upstream
        self._operations = operations
        self._deployments = deployments
        self._events = events
        self._max_age = max_age
        self._elapsed = elapsed
        self._demo = demo
        self._series = series
        self._webhooks = webhooks
        self._membership = membership
        self._passing_on = None if forwarder is None else PassingOn(forwarder, upstream, trusted_only=self.trusted_only)
        self._schema_index = SchemaIndex(schema) if introspection else None
        self._executor = Executor(schema, compiled=compiled, fallback=self.metrics.fell_back)
        self._turns = Turns()
        self._budget = Budget(
            schema,
            self._executor,
            self._worker_pool,
            self._limits,
            lambda: (upstream.snapshot, self._changes()),
            operations.all,
            deployments.all,
        )
        self.live = Live(
            self._executor, self._context, upstream.subscriber, self._worker_pool, self._limits.max_live_cost
        )
        self.waits = Waits(upstream, operations)
        self._cause: Unreachable | None = None
        """Why there has never been a snapshot, with the last error of each URL of exo."""
        self._changing: set[asyncio.Task[Reply]] = set()
        """Mutations under way, whose callers may have gone."""
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Keeps the live queries up to date from here on."""
        self._resources.callback(self._worker_pool.close)
        self._resources.push_async_callback(self._settle)
        self._resources.enter_context(self._upstream.listen(lambda _: self.live.notify()))
        self._resources.enter_context(self.waits)
        self._resources.callback(self._operations.listen(self.live.notify))
        self._resources.callback(self._deployments.listen(self.live.notify))
        self._resources.callback(self._events.watch(self.live.notify))
        if self._membership is not None:
            self._resources.callback(self._membership.listen(self.live.notify))
        if self._series is not None:
            self._resources.callback(self._series.listen(self.live.notify))
        for work in (self.live.run(), self.live.run_in_pool(self._worker_pool)):
            self._resources.push_async_callback(_ended, asyncio.create_task(work, name="live queries"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    async def _settle(self) -> None:
        """Waits for the mutations under way, and cancels those that take too long."""
        if self._changing:
            await asyncio.wait(self._changing, timeout=_SETTLING_SECONDS)
        for changing in tuple(self._changing):
            await _ended(changing)

    @property
    def has_snapshot(self) -> bool:
        """Whether there has been a first snapshot."""
        return self._upstream.snapshot is not None

    @property
    def snapshot(self) -> tuple[object, int, int] | None:
        """All that results depend on: the snapshot (by identity), `Context.changes`, samples; None before the first."""
        snapshot = self._upstream.snapshot
        sampled = 0 if self._series is None else self._series.newest
        return None if snapshot is None else (snapshot, self._changes(), sampled)

    @property
    def trusted_only(self) -> bool:
        """Whether only documents are executed that this server knows."""
        return self._persisted.trusted_only

    def _changes(self) -> int:
        return changes(self._operations, self._deployments, self._events, self._membership)

    async def refresh(self) -> None:
        """Waits for a snapshot that is fresh enough to answer from, as far as exo can be reached."""
        try:
            await self._upstream.fresh(self._max_age)
        except Unreachable as error:
            # The last snapshot answers, marked as stale; without any, resolvers raise CLUSTER_UNAVAILABLE.
            self._cause = error

    async def prepare(self, request: GraphQLRequest) -> Prepared | Reply:
        """Finds, parses and validates the document; a `Reply` holds the errors."""
        try:
            check_variables(request.variables, self._limits)
            request = self._persisted.resolve(request)
            document = await self._documents.get(request.query or "")
        except (LimitExceeded, Overloaded, PersistedQueryNotFound, WrongHash) as error:
            return _refused(error)
        except DocumentNotFound as error:
            return Reply(Outcome.DOCUMENT_UNKNOWN, refusal((error,)))
        except DocumentNotTrusted as error:
            return Reply(Outcome.FORBIDDEN, refusal((error,)))
        if document.errors or document.node is None:
            code = Code.PARSE_FAILED if document.node is None else Code.VALIDATION_FAILED
            return Reply(Outcome.REFUSED, refusal(document.errors, code))
        operation = document.operation(request.operation_name)
        if operation is None:
            unknown = operation_error(document, request.operation_name)
            return Reply(Outcome.REFUSED, refusal((unknown,), Code.OPERATION_UNKNOWN))
        self._persisted.register(request)
        prepared = Prepared(request, document.node, operation)
        if prepared.is_subscription:
            try:
                self._budget.check(prepared.document, prepared.operation, prepared.request.variables)
            except LimitExceeded as error:
                return _refused(error)
        return prepared

    async def answer(
        self, prepared: Prepared, caller: Caller, *, refreshed: bool = False, passed_on: bool = False
    ) -> Reply:
        """Executes a query or mutation. `refreshed`: the caller has called `refresh` already.

        `passed_on`: another server has sent this mutation here, so it is sent nowhere else.
        """
        if prepared.is_mutation and caller.rights is not Rights.OPERATE:
            return Reply(Outcome.FORBIDDEN, refusal((_forbidden(),)))
        passing_on = self._passing_on if prepared.is_mutation and not passed_on else None
        if passing_on is not None and not passing_on.leads:
            return await self._carried_out(self._pass_on(passing_on, prepared, caller))
        if not (refreshed or _selects_schema_only(prepared.operation)):
            await self.refresh()
        if not prepared.is_mutation:
            try:
                has_waited = prepared.may_wait and await self.waits.wait(
                    prepared.request, prepared.document, prepared.operation
                )
            except LimitExceeded as error:
                return _refused(error)
            reply = await self._execute(prepared, caller)
            # Sent again, it would be an answer without the wait.
            return replace(reply, lasting=False) if has_waited else reply
        return await self._carried_out(self._act(prepared, caller, passing_on))

    async def _carried_out(self, mutation: Coroutine[Any, Any, Reply]) -> Reply:
        """A mutation is carried out even if its caller goes away: a swap must not end between its two steps."""
        changing = asyncio.create_task(mutation, name="mutation")
        self._changing.add(changing)
        changing.add_done_callback(self._changing.discard)
        return await asyncio.shield(changing)

    async def _act(self, prepared: Prepared, caller: Caller, passing_on: PassingOn | None) -> Reply:
        """Carries out a mutation, or passes it on where this server has lost the lead meanwhile: it may have failed."""
        reply = await self._execute(prepared, caller)
        if passing_on is None or passing_on.leads or not passing_on.may_repeat(prepared):
            return reply
        return await self._pass_on(passing_on, prepared, caller)

    async def _pass_on(self, passing_on: PassingOn, prepared: Prepared, caller: Caller) -> Reply:
        """Has the leader carry out a mutation, or does so here where this server has begun to lead meanwhile."""
        try:
            self._budget.check(prepared.document, prepared.operation, prepared.request.variables)
            reply = await passing_on.reply(prepared, caller)
        except LimitExceeded as error:
            return _refused(error)
        except Exception as fault:  # noqa: BLE001  # logged; the mutation may have been carried out
            return _logged(fault)
        if reply is None:
            await self.refresh()
            reply = await self._execute(prepared, caller)
        return reply

    async def _execute(self, prepared: Prepared, caller: Caller) -> Reply:
        # A read of exo's state lets all go on at once that have waited for it.
        await self._turns.next()
        context = self._context(caller)
        request = prepared.request
        try:
            cost = self._budget.check(prepared.document, prepared.operation, prepared.request.variables)
            answer = await self._budget.start(request, prepared.document, context, cost)
            waited = not isinstance(answer, Answer)
            result = answer if isinstance(answer, Answer) else await answer
        except (LimitExceeded, Overloaded) as refused:
            return _refused(refused)
        except Exception as fault:  # noqa: BLE001  # logged
            # The faults of resolvers are errors in the result; this is one of the executor or the encoder.
            return _logged(fault)
        outcome = Outcome.REFUSED if result.refused else Outcome.EXECUTED
        lasting = outcome is Outcome.EXECUTED and not (waited or result.time_dependent or prepared.is_mutation)
        return Reply(outcome, result.payload, lasting, result)

    @asynccontextmanager
    async def subscribe(self, prepared: Prepared, caller: Caller) -> AsyncIterator[Subscriber | EventSubscriber]:
        """Joins the live query of a subscription. Raises `LimitExceeded` where all together would cost too much."""
        if not self.live.share_count and self._upstream.snapshot is not None:
            # Without subscribers exo is read rarely: the snapshot may be seconds old, and one message may be the last.
            await self.refresh()
        request = prepared.request
        event_root = event_field(prepared.document, prepared.operation)
        if event_root is not None:
            earlier = self._events.in_memory
            last = earlier[-1].sequence if earlier else 0
            answer = partial(self._answer_event, prepared, last)
            events = EventSubscriber(answer, earlier if asks_for_earlier(event_root) else ())
            cost = self._budget.estimate(prepared.document, prepared.operation, request.variables)
            with self.live.counting(cost), self._upstream.subscriber(), self._events.listen(events.add):
                yield events
            return
        async with self.live.subscribe(
            prepared.key(caller.rights),
            prepared.document,
            request.operation_name,
            request.variables,
            partial(self._budget.estimate, prepared.document, prepared.operation, request.variables),
        ) as subscriber:
            yield subscriber

    async def _answer_event(self, prepared: Prepared, last: int, event: Event) -> Answer | None:
        """The message about an event; None where the subscription does not ask for it."""
        document, operation = prepared.document, prepared.operation
        try:
            while True:
                context = self._context(event=event, after_event=last)
                cost = self._budget.estimate(document, operation, prepared.request.variables)
                try:
                    answer = await self._budget.start(prepared.request, document, context, cost)
                    break
                except Overloaded:
                    await asyncio.sleep(RETRY_AFTER)
        except Exception as error:  # noqa: BLE001  # logged, and the last message of this subscription
            return fault_of(error)
        if not isinstance(answer, Answer):  # no field of an event waits for anything
            return fault_of(TypeError("a subscription's resolver must not wait"))
        return None if context.skipped and not answer.refused else answer

    def _context(self, caller: Caller | None = None, *, event: Event | None = None, after_event: int = 0) -> Context:
        return Context(
            self._upstream.snapshot,
            self._operations,
            self._deployments,
            self._elapsed,
            self._worker_pool.run,
            self._cause,
            by=None if caller is None else caller.name,
            demo=self._demo,
            events=self._events,
            event=event,
            after_event=after_event,
            series=self._series,
            webhooks=self._webhooks,
            schema_index=self._schema_index,
            membership=self._membership,
        )


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _refused(error: LimitExceeded | Overloaded | PersistedQueryNotFound | WrongHash) -> Reply:
    outcome = Outcome.OVERLOADED if isinstance(error, Overloaded) else Outcome.REFUSED
    return Reply(outcome, refusal((error,)))


def _logged(fault: Exception) -> Reply:
    error_id = new_error_id()
    logger.error("internal error %s", error_id, exc_info=fault)
    return Reply(Outcome.FAULT, refusal((internal_error(error_id),)))


def _forbidden() -> GraphQLError:
    return NamedError(
        "FORBIDDEN",
        "This token allows reading only.",
        "Use a token with the scope 'operate'.",
    )


def _selects_schema_only(operation: OperationDefinitionNode) -> bool:
    return all(
        isinstance(selection, FieldNode) and selection.name.value.startswith("__")
        for selection in operation.selection_set.selections
    )
