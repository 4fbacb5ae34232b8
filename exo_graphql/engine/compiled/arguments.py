"""The arguments of a field, as its resolver takes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import FieldNode, GraphQLField, ListValueNode, ObjectValueNode, ValueNode, VariableNode
from graphql.execution import get_argument_values


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments that a document gives a field."""

    field: GraphQLField
    node: FieldNode
    names: Mapping[str, str]
    """The resolver's parameter for each GraphQL argument."""

    @property
    def vary(self) -> bool:
        """Whether they depend on the request's variables."""
        return any(_holds_variable(argument.value) for argument in self.node.arguments or ())

    def values(self, variables: Any) -> dict[str, Any]:
        """The arguments by parameter, with defaults. Raises what graphql-core raises."""
        given = get_argument_values(self.field, self.node, variables)
        return {self.names[name]: value for name, value in given.items()}


def _holds_variable(value: ValueNode) -> bool:
    if isinstance(value, ListValueNode):
        return any(_holds_variable(item) for item in value.values)
    if isinstance(value, ObjectValueNode):
        return any(_holds_variable(field.value) for field in value.fields)
    return isinstance(value, VariableNode)
