"""Documents: what a text says once parsed and validated is kept.

Most clients send few texts many times, and parsing and validating cost more than answering. So the results of both are
kept in bounded memory, those of invalid texts too: at its second sight, or at once where it took a thread. Programs
that write values into their texts send each text once. Its tree is thousands of objects: keeping those of such texts
cost a quarter of the time of each, since the garbage collector looks at all that is kept, again and again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from graphql import (
    ASTValidationRule,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    parse,
    recommended_rules,
    specified_rules,
    validate,
)
from graphql.validation import NoSchemaIntrospectionCustomRule

from exo_graphql.engine.complexity import check_document
from exo_graphql.engine.fast_validation import PROVED_RULES, is_surely_valid
from exo_graphql.engine.limits import LimitExceeded, Limits
from exo_graphql.engine.simple_parser import TextOnly, parse_simple
from exo_graphql.engine.turns import Turns
from exo_graphql.engine.worker_pool import WorkerPool

# Characters. A longer text is read on a thread: of this length, parsing and validating take up to 25 ms.
READ_AT_ONCE = 800
# A longer text is parsed on a thread, too: of this length, graphql-core's parser takes up to 10 ms.
PARSED_AT_ONCE = 2_000
# A longer text is read on a thread even if it is a usual one: of this length, that takes up to 10 ms.
PROVED_AT_ONCE = 4_000
# A longer text is read anew each time: its tree would take some 300 times its length, 3 MB.
KEPT_CHARACTERS = 10_000
# How many are kept. Programs send a few dozen different texts; there are more only if values are written into the text.
KEPT_DOCUMENTS = 1_000
# In the unit of `cost`: the most expensive text takes 30 µs for each of its characters.
COST_OF_CHARACTER = 8.0
# Texts seen once that are remembered, by their hash alone (100 bytes each).
SEEN_TEXTS = 4_000
_SPLIT = "Send several requests."


@dataclass(frozen=True, slots=True)
class Document:
    """A text that was read. `node` is None if it does not parse; `errors` is empty if it is valid."""

    node: DocumentNode | None
    errors: tuple[GraphQLError, ...]
    operations: tuple[OperationDefinitionNode, ...]

    def operation(self, name: str | None) -> OperationDefinitionNode | None:
        """The operation of that name; without a name, the only one. None if there is no such operation."""
        if name is None:
            return self.operations[0] if len(self.operations) == 1 else None
        return next((op for op in self.operations if op.name is not None and op.name.value == name), None)


def operation_error(document: Document, name: str | None) -> GraphQLError:
    """Why `Document.operation` found none."""
    if not document.operations:
        return GraphQLError("The document holds no operation.")
    if name is None:
        return GraphQLError("Must provide operation name if query contains multiple operations.")
    return GraphQLError(f"Unknown operation named '{name[:120]}'.")


def document_rules(*, introspection: bool = True) -> tuple[type[ASTValidationRule], ...]:
    """The specification's rules, with a bound on introspection; with `introspection=False`, rules that refuse it."""
    rules = *specified_rules, *recommended_rules
    return rules if introspection else (*rules, NoSchemaIntrospectionCustomRule)


class Documents:
    """The cache of documents by their text: the most recently used ones, up to a number and a total size."""

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        rules: Collection[type[ASTValidationRule]] = document_rules(),
        limits: Limits | None = None,
        worker_pool: WorkerPool | None = None,
        capacity: int = KEPT_DOCUMENTS,
        max_characters: int = 100_000,
    ) -> None:
        """Without `worker_pool`, long texts are read on the event loop, too."""
        self._schema = schema
        self._rules = tuple(rules)
        self._provable = set(rules) <= PROVED_RULES
        self._limits = limits or Limits()
        self._worker_pool = worker_pool
        self._turns = Turns()
        self._under_way: dict[str, asyncio.Event] = {}
        self._capacity = capacity
        self._max_characters = max_characters
        self._kept: OrderedDict[str, Document] = OrderedDict()
        self._seen: dict[int, None] = {}
        """Hashes of texts that are not kept, in the order of their first sight."""
        self._characters = 0

    def read(self, source: str) -> Document:
        """The document: kept, or parsed and validated now."""
        document = self._known(source)
        if document is not None:
            return document
        if self._is_seen(source):
            document = self._read(source)
            self._keep(source, document)
            return document
        return self._proved(source) or self._read(source)

    async def get(self, source: str) -> Document:
        """What `read` gives, without holding the event loop for long. Raises `Overloaded`."""
        document = self._known(source)
        if document is None:
            await self._turns.next()
            document = self._known(source)  # another request may have read it meanwhile
        if document is not None:
            return document
        if (
            len(source) <= READ_AT_ONCE
            or self._worker_pool is None
            or len(source) > self._limits.max_document_characters
        ):
            return self.read(source)
        work = partial(self._read, source)
        if len(source) <= PROVED_AT_ONCE:
            is_seen = self._is_seen(source)
            document = None if is_seen else self._proved(source)
            if document is not None:
                return document
            if len(source) <= PARSED_AT_ONCE:
                begun = self._begin(source)
                if isinstance(begun, Document):
                    if is_seen:
                        self._keep(source, begun)
                    return begun
                work = partial(self._validated, begun)
        # Of many requests with the same new text, one reads it and the others wait.
        while (reading := self._under_way.get(source)) is not None:
            await reading.wait()
            document = self._known(source)
            if document is not None:
                return document
        reading = self._under_way[source] = asyncio.Event()
        try:
            document = await self._worker_pool.run(work, COST_OF_CHARACTER * len(source))
        finally:
            del self._under_way[source]
            reading.set()
        self._keep(source, document)
        return document

    def _known(self, source: str) -> Document | None:
        known = self._kept.get(source)
        if known is not None:
            self._kept.move_to_end(source)
        return known

    def _is_seen(self, source: str) -> bool:
        """Whether it was seen before. It is now."""
        key = hash(source)
        if key in self._seen:
            del self._seen[key]
            return True
        self._seen[key] = None
        if len(self._seen) > SEEN_TEXTS:
            del self._seen[next(iter(self._seen))]
        return False

    def _read(self, source: str) -> Document:
        begun = self._begin(source)
        return begun if isinstance(begun, Document) else self._validated(begun)

    def _proved(self, source: str) -> Document | None:
        """The document if it is a usual one and certainly valid. It has no places (see `located`): it is not kept."""
        node = parse_simple(source, self._limits)
        return Document(node, (), _operations(node)) if node is not None and self._is_valid(node) else None

    def _is_valid(self, node: DocumentNode) -> bool:
        """Whether it certainly is."""
        return self._provable and is_surely_valid(self._schema, node, self._limits.max_pairs)

    def _begin(self, source: str) -> Document | DocumentNode:
        """The document if it does not parse or is certainly valid; else its tree, which the rules must validate."""
        try:
            node = self._parse(source)
            check_document(node, self._limits)
        except GraphQLError as error:
            return Document(None, (_alone(error),), ())
        if self._is_valid(node):
            return Document(node, (), _operations(node))
        return node

    def _validated(self, node: DocumentNode) -> Document:
        errors = tuple(validate(self._schema, node, self._rules, self._limits.max_errors))
        return Document(node, errors, _operations(node))

    def _parse(self, source: str) -> DocumentNode:
        limits = self._limits
        if len(source) > limits.max_document_characters:
            raise LimitExceeded(
                "max_document_characters",
                limits.max_document_characters,
                f"a document of {len(source)} characters",
                _SPLIT,
                actual=len(source),
            )
        try:
            return _unchained(parse(source, max_tokens=limits.max_tokens))
        except GraphQLSyntaxError as error:
            if f"more than {limits.max_tokens} tokens" not in error.message:
                raise
            raise LimitExceeded("max_tokens", limits.max_tokens, "more tokens", _SPLIT) from None

    def _keep(self, source: str, document: Document) -> None:
        if not self._capacity or len(source) > KEPT_CHARACTERS:
            return
        self._kept[source] = document
        self._characters += len(source)
        while len(self._kept) > self._capacity or self._characters > self._max_characters:
            oldest, _ = self._kept.popitem(last=False)
            self._characters -= len(oldest)


def located(document: DocumentNode) -> DocumentNode:
    """The document with the places that errors name, in which graphql-core has parsed it."""
    text = document.loc
    return _unchained(parse(text.source.body)) if isinstance(text, TextOnly) else document


def _alone(error: GraphQLError) -> GraphQLError:
    """The error without its traceback, whose frames hold the whole text that was refused."""
    error.__context__ = None
    return error.with_traceback(None)


def _unchained(node: DocumentNode) -> DocumentNode:
    """Removes the links between tokens, which nothing needs after parsing.

    A chain of 10,000 tokens lives as long as any node of the document, and only the collector of cycles can free it,
    which stops the whole process meanwhile.
    """
    token = node.loc.start_token if node.loc is not None else None
    while token is not None:
        following = token.next
        token.prev = token.next = None
        token = following
    return node


def _operations(node: DocumentNode) -> tuple[OperationDefinitionNode, ...]:
    return tuple(d for d in node.definitions if isinstance(d, OperationDefinitionNode))


def is_subscription(operation: OperationDefinitionNode) -> bool:
    """Whether the answer is a stream."""
    return operation.operation is OperationType.SUBSCRIPTION


def is_mutation(operation: OperationDefinitionNode) -> bool:
    """Whether it changes the cluster."""
    return operation.operation is OperationType.MUTATION
