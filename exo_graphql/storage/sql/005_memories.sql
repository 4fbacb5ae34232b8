-- What is remembered of deployments beside what is declared.

CREATE TABLE exo_graphql_memories (LIKE exo_graphql_operations INCLUDING ALL);
