"""What exo's state means: the snapshot, readiness, placement. Pure: no I/O, and the time is passed in.

`exo/` turns the bytes of `GET /state` into a `State`; `advance` turns a state and the previous snapshot into the next
`Snapshot`, from which every answer is read. Operations and deployments use the placement search to decide what fits.

Read it in this order:

1. `state/` (what exo reports), `units`, `moment` (two clocks), `rules` (the thresholds).
2. `readiness` (the phase of an instance, rule by rule; `error_text`: exo's messages), `status` (of a model),
   `downloads`, `tasks`, `models` and `health`.
3. `history` (what exo forgets), `remember` (how the history continues), `transitions`, `contact` (does exo answer),
   `loads` and `expectations` (what this server's operations and deployments contribute).
4. `indexed_state` (lists and sums over one state; `ram`: in GiB), `snapshot` (the value), `advance` (previous and
   state to next).
5. `memory` (arithmetic), `topology`, `placement_request`, `placement` (where a model fits), `candidates`,
   `preference`, `groups`, `group_search`, `search_budget`.
6. `names` (finding a model or node by name), `upstream` (the interface that `exo/` implements).
"""
