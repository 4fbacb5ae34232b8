-- Which of the servers may lead, and which of them exo answers.

ALTER TABLE exo_graphql_replicas
  ADD COLUMN barred text, -- why it must not lead, such as "is read-only"; null where it may
  ADD COLUMN reads_exo boolean; -- null: it need not ask, since another server does
