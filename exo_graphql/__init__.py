"""exo_graphql: the GraphQL layer over exo clusters."""

__version__ = "0.1.0"
