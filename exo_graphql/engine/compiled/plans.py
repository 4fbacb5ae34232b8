"""The plans of every document that is kept."""

import weakref
from collections.abc import Mapping
from typing import Any

from graphql import DocumentNode, FragmentDefinitionNode, GraphQLSchema, OperationDefinitionNode

from exo_graphql.engine.compiled.compiler import Fields
from exo_graphql.engine.compiled.plan import Operation
from exo_graphql.engine.compiled.selection import NotCompilable
from exo_graphql.schema.context import Context


class Plans:
    """Runs operations by their plans, which are compiled at first use and live as long as their document."""

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
        """The data of a valid document's operation, which then has no errors.

        Raises `NotCompilable`, `CoercionFallback`, or the error of a resolver or argument: graphql-core must execute
        the operation. Any other exception is a fault.
        """
        return self._operation(document, operation_name).run(context, variables)

    def compile_soon(
        self, document: DocumentNode, operation_name: str | None, variables: Mapping[str, Any] | None
    ) -> bool:
        """Compiles the plan if that takes a few milliseconds at most. Whether `run` has nothing to compile now.

        Raises what `run` raises before it executes.
        """
        return self._operation(document, operation_name).compile_soon(variables)

    def _operation(self, document: DocumentNode, operation_name: str | None) -> Operation:
        operations = self._operations(document)
        operation = operations.get(operation_name)
        if operation is None:
            operation = operations[operation_name] = self._found(document, operation_name)
        return operation

    def _operations(self, document: DocumentNode) -> dict[str | None, Operation]:
        key = id(document)
        known = self._documents.get(key)
        if known is None:
            reference = weakref.ref(document, lambda _: self._documents.pop(key, None))
            known = self._documents[key] = (reference, {})
        return known[1]

    def _found(self, document: DocumentNode, name: str | None) -> Operation:
        found = [
            node
            for node in document.definitions
            if isinstance(node, OperationDefinitionNode)
            and (name is None or (node.name is not None and node.name.value == name))
        ]
        if len(found) != 1:
            raise NotCompilable
        fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
        return Operation(self._fields, found[0], fragments)
