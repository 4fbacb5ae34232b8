"""Documents: a text parsed and validated once, then kept.

Most clients send few texts many times. Parsing and validating cost more than answering, so both are remembered, in
bounded memory; what is wrong with a text is remembered just as well.
"""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

from graphql import (
    ASTValidationRule,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    parse,
    specified_rules,
    validate,
)


@dataclass(frozen=True, slots=True)
class Document:
    """A text that parsed; `errors` is empty if it is also valid."""

    node: DocumentNode | None
    errors: tuple[GraphQLError, ...]
    operations: tuple[OperationDefinitionNode, ...]

    def operation(self, name: str | None) -> OperationDefinitionNode | None:
        """The operation of that name, or the only one; None if there is none such."""
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


class Documents:
    """Texts by their source, the most recently used ones, up to a number and a total size."""

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        rules: Collection[type[ASTValidationRule]] = tuple(specified_rules),
        max_tokens: int | None = None,
        capacity: int = 1000,
        max_characters: int = 4_000_000,
    ) -> None:
        self._schema = schema
        # One collection for all: a rule built for each request would be a new rule each time.
        self._rules = tuple(rules)
        self._max_tokens = max_tokens
        self._capacity = capacity
        self._max_characters = max_characters
        self._kept: OrderedDict[str, Document] = OrderedDict()
        self._characters = 0

    def read(self, source: str) -> Document:
        """Parses and validates, or remembers having done so."""
        known = self._kept.get(source)
        if known is not None:
            self._kept.move_to_end(source)
            return known
        document = self._read(source)
        if self._capacity:
            self._keep(source, document)
        return document

    def _read(self, source: str) -> Document:
        try:
            node = parse(source, max_tokens=self._max_tokens)
        except GraphQLError as error:
            return Document(None, (error,), ())
        errors = tuple(validate(self._schema, node, self._rules))
        operations = tuple(d for d in node.definitions if isinstance(d, OperationDefinitionNode))
        return Document(node, errors, operations)

    def _keep(self, source: str, document: Document) -> None:
        self._kept[source] = document
        self._characters += len(source)
        while len(self._kept) > self._capacity or self._characters > self._max_characters:
            oldest, _ = self._kept.popitem(last=False)
            self._characters -= len(oldest)


def is_subscription(operation: OperationDefinitionNode) -> bool:
    """Whether it is answered by a stream."""
    return operation.operation is OperationType.SUBSCRIPTION


def is_mutation(operation: OperationDefinitionNode) -> bool:
    """Whether it changes the cluster."""
    return operation.operation is OperationType.MUTATION
