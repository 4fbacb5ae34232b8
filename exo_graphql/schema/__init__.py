"""The public GraphQL types, one file a type. A resolver reads the snapshot or hands a wish to the operations."""
