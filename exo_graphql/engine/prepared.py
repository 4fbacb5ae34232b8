"""A request that is ready to be answered."""

from dataclasses import dataclass

from graphql import DocumentNode, OperationDefinitionNode

from exo_graphql.engine.documents import is_mutation, is_subscription
from exo_graphql.engine.requests import GraphQLRequest
from exo_graphql.engine.rights import Rights
from exo_graphql.engine.waiting import ARGUMENT


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request whose document is valid and whose operation is known."""

    request: GraphQLRequest
    """With its text, also where the client sent an id."""
    document: DocumentNode
    operation: OperationDefinitionNode

    @property
    def is_subscription(self) -> bool:
        """Whether it is answered by a stream."""
        return is_subscription(self.operation)

    @property
    def may_wait(self) -> bool:
        """Whether it may wait for something to happen before it is executed."""
        location = self.document.loc  # the text, also where the request names a document by its id
        return not self.is_mutation and location is not None and ARGUMENT in location.source.body

    @property
    def is_mutation(self) -> bool:
        """Whether it changes the cluster."""
        return is_mutation(self.operation)

    def key(self, rights: Rights) -> tuple[object, Rights]:
        """Equal for subscriptions that share their executions."""
        return self.request.key, rights
