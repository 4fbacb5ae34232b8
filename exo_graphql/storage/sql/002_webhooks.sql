-- How far each webhook is.

CREATE TABLE exo_graphql_webhooks (LIKE exo_graphql_operations INCLUDING ALL);
