"""The public GraphQL types, one file a type. They are thin: a resolver reads one field off the snapshot, or passes a
request to the operations.

Read `fields.py` (why the classes hold no values), `node.py` (a type with its neighbours), `context.py` (what a resolver
gets), then the three roots: `query.py`, `mutation.py` with `payloads.py`, and `subscription.py`. `build.py` makes the
executable schema of them; `schema.graphql` at the top of the repository is its text.

GraphQL types refer to each other in loops: a node has models, a model has nodes. A class is imported where that makes
no import loop; the other direction is `strawberry.lazy`. `pyproject.toml` lists these imports.
"""
