-- Servers that share a namespace: how they take turns, find each other and learn what another one has written.

-- How long the lease lasts from each renewal on, by which others measure its end without the clock of the database.
-- 0: its holder has given it up.
ALTER TABLE exo_graphql_leases ADD COLUMN seconds double precision NOT NULL DEFAULT 6;

CREATE TABLE exo_graphql_replicas (
  namespace text NOT NULL,
  holder text NOT NULL,
  name text NOT NULL,
  url text,
  since timestamptz NOT NULL, -- when it took its present role, by its own clock
  seen_at timestamptz NOT NULL, -- by the clock of the database
  PRIMARY KEY (namespace, holder)
);

-- What the servers of a namespace show each other to be believed.
CREATE TABLE exo_graphql_secrets (
  namespace text PRIMARY KEY,
  secret text NOT NULL
);

-- How often each collection was written: so a change is noticed where its notification was lost.
CREATE TABLE exo_graphql_changes (
  namespace text NOT NULL,
  collection text NOT NULL,
  version bigint NOT NULL,
  PRIMARY KEY (namespace, collection)
);
