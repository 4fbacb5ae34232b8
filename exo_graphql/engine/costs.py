"""The estimates of every operation that is kept."""

import weakref
from collections.abc import Mapping

from graphql import DocumentNode, GraphQLSchema, OperationDefinitionNode

from exo_graphql.engine.cost import Cost
from exo_graphql.engine.estimate import Estimate, plain_fields
from exo_graphql.engine.field_sizes import introspection_sizes
from exo_graphql.engine.list_sizes import ListSizes


class Costs:
    """Estimates of one schema's operations, kept as long as the operations are."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._introspection = introspection_sizes(schema)
        self._plain = plain_fields(schema)
        # By identity: comparing two operations would compare all of their nodes.
        self._kept: dict[int, tuple[weakref.ref[OperationDefinitionNode], Cost]] = {}

    def of(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        sizes: ListSizes,
        variables: Mapping[str, object] | None = None,
    ) -> Cost:
        """The cost of a valid document's operation."""
        key = id(operation)
        kept = self._kept.get(key)
        if kept is not None and kept[1].holds(sizes, variables):
            return kept[1]
        cost = Estimate(self._schema, self._introspection, self._plain, document, sizes, variables).of(operation)
        self._kept[key] = weakref.ref(operation, lambda _: self._kept.pop(key, None)), cost
        return cost
