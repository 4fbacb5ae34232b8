"""Executing GraphQL: from a request to an encoded answer, or to a stream of them. It knows no transport.

Read `service` first, which every transport calls. Then the way of a request: `requests` (its parameters), `documents`
(parsed and validated once; `simple_parser` reads usual ones, `complexity` refuses what is expensive to validate,
`fast_validation` proves usual ones valid), `budget` (may it run, and where: `costs`, `cost`, `estimate`,
`field_sizes`, `list_sizes`, `worker_pool`), `execution` (by a plan of `compiled`, else by graphql-core). `live` and
`shared_subscription` keep subscriptions up to date, `results` stores what may be sent again, `limits` and `errors` hold
what callers see of a refusal.
"""
