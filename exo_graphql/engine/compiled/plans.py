"""The plans of every document that is still around."""

import weakref
from collections.abc import Mapping
from typing import Any

from graphql import DocumentNode, FragmentDefinitionNode, GraphQLSchema, OperationDefinitionNode

from exo_graphql.engine.compiled.compiler import Fields
from exo_graphql.engine.compiled.plan import Operation
from exo_graphql.engine.compiled.selection import NotCompilable
from exo_graphql.schema.context import Context


class Plans:
    """Runs operations by their plans, which are made at first sight and live as long as their document."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._fields = Fields(schema)
        # By identity: comparing two documents would compare all of their nodes.
        self._documents: dict[int, tuple[weakref.ref[DocumentNode], dict[str | None, Operation]]] = {}

    def __len__(self) -> int:
        """Documents that have plans."""
        return len(self._documents)

    def run(
        self, document: DocumentNode, operation_name: str | None, context: Context, variables: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """The data that a valid document's operation is answered with. It has no errors then.

        Any exception means that graphql-core has to execute the operation: it is not plain, or an error is to be told.
        """
        return self._known(document, operation_name).run(context, variables)

    def is_compiled(
        self, document: DocumentNode, operation_name: str | None, variables: Mapping[str, Any] | None
    ) -> bool:
        """Whether `run` has nothing to compile. Raises what `run` would raise before it."""
        return self._known(document, operation_name).is_compiled(variables)

    def _known(self, document: DocumentNode, operation_name: str | None) -> Operation:
        operations = self._operations(document)
        operation = operations.get(operation_name)
        if operation is None:
            operation = operations[operation_name] = self._operation(document, operation_name)
        return operation

    def _operations(self, document: DocumentNode) -> dict[str | None, Operation]:
        key = id(document)
        known = self._documents.get(key)
        if known is None:
            reference = weakref.ref(document, lambda _: self._documents.pop(key, None))
            known = self._documents[key] = (reference, {})
        return known[1]

    def _operation(self, document: DocumentNode, name: str | None) -> Operation:
        asked = [
            node
            for node in document.definitions
            if isinstance(node, OperationDefinitionNode)
            and (name is None or (node.name is not None and node.name.value == name))
        ]
        if len(asked) != 1:
            raise NotCompilable
        fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
        return Operation(self._fields, asked[0], fragments)
