"""What the tests of several packages share. What the tests of one package alone use lies beside them.

Fakes of exo, from the smallest to the largest: `documents` (one state, written by hand), `recordings` and `cases`
(states of a real exo, from `tests/data`), `topologies` (clusters for the planner), `successions` (random states in
a row), `wide` (many nodes that answer nothing but reads), `replay` (a recording at its own pace over HTTP).

Parts of the server: `asking` (the executor over one snapshot), `polled_cluster` (the poller over several URLs),
`simulated_cluster` (operations upon a simulated exo), `running` (the whole server in the test's loop), `threaded`
(in a thread), `process` and `killable` (in a process), `raw` (its client, down to the socket).

Time: `virtual_time`, `threaded_time`. Tools: `chromium`, `node_tools`, `wheel`, `installed`, `readme`. Plugins that
decide how the tests run: `startup`, `scheduling`, `tools`.
"""
