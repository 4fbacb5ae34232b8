-- The tables of this server, each row in a namespace: one exo cluster has one, and several may share a database.

CREATE TABLE exo_graphql_operations (
  namespace text NOT NULL,
  sequence bigint NOT NULL,
  id text NOT NULL,
  active boolean NOT NULL,
  record bytea NOT NULL,
  PRIMARY KEY (namespace, id),
  UNIQUE (namespace, sequence)
);

CREATE TABLE exo_graphql_deployments (LIKE exo_graphql_operations INCLUDING ALL);

CREATE TABLE exo_graphql_events (LIKE exo_graphql_operations INCLUDING ALL);

CREATE TABLE exo_graphql_history_minutes (LIKE exo_graphql_operations INCLUDING ALL);

CREATE TABLE exo_graphql_history_ten_minutes (LIKE exo_graphql_operations INCLUDING ALL);

CREATE TABLE exo_graphql_serving (LIKE exo_graphql_operations INCLUDING ALL);

CREATE TABLE exo_graphql_keys (
  namespace text NOT NULL,
  key text NOT NULL,
  fingerprint text NOT NULL,
  operation_id text NOT NULL,
  created_at double precision NOT NULL, -- seconds since 1970
  PRIMARY KEY (namespace, key)
);

-- Which server may write, until when by the clock of the database. `term` grows by 1 with each other holder.
CREATE TABLE exo_graphql_leases (
  namespace text PRIMARY KEY,
  holder text NOT NULL,
  name text NOT NULL,
  term bigint NOT NULL,
  expires_at timestamptz NOT NULL
);
