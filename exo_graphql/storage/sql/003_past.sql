-- What was known of models.

CREATE TABLE exo_graphql_past (LIKE exo_graphql_operations INCLUDING ALL);
