"""The REST interface that exo PR #1727 proposed, `/v1/cluster`, as GraphQL documents: its paths, names and statuses.

Read `routes` first, the table: each route is a document of `documents/rest/` whose aliases are the PR's field names.
`shaping` makes what aliases cannot make, `validation` reads the bodies, `errors` has the statuses, `endpoint` answers
requests, and `openapi` describes the table, with the schema's own descriptions. Nothing is derived here: every value is
the one that GraphQL answers.
"""
