"""Resolves names in arguments; raises an error with the valid choices."""

from exo_graphql.cluster.lookup import look_up
from exo_graphql.cluster.names import Ambiguous, Unknown, find_node
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import ModelCard, Node
from exo_graphql.schema.errors import model_error, node_error


def model_named(snapshot: Snapshot, name: str) -> ModelCard:
    """The model of that full id or short name; raises MODEL_NOT_FOUND or MODEL_AMBIGUOUS."""
    found = look_up(snapshot, name)
    if isinstance(found, Ambiguous | Unknown):
        raise model_error(found)
    return found


def node_named(snapshot: Snapshot, name: str) -> Node:
    """The node of that id or friendly name; raises NODE_NOT_FOUND or NODE_AMBIGUOUS."""
    found = find_node(snapshot.nodes, name)
    if isinstance(found, Ambiguous | Unknown):
        raise node_error(found)
    return found
