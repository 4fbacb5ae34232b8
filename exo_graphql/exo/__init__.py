"""exo's HTTP API: one poller that keeps the newest snapshot, and the commands that change the cluster.

Read in this order: `pacing` (how often exo is read, and the timeouts), `demand` (who needs reads now), `credit` (reads
that may come early), `client` (one exo node over HTTP; `paths` makes ids safe in URLs, `refusals` reads errors),
`endpoints` (several URLs, failover), `parse/` (bytes to `cluster.state.State`), `conditional_reader` (what an ETag
spares), `silence` (when exo counts as lost), `notice` (cheap reads between two states), `schedule` (which read is due
when), `reads` and `snapshots` (the newest snapshot, and who waits for it), `recalled` and `past_keeper` (what was known
before the start), `following`, `followed` and `handover` (another server's copy), `poller` (the loop that puts
these together), then `commands` (`gate` says when they may be sent), `answers` and `catalogue` beside it.
"""
