"""Deployments: what should be loaded, how and when; the cluster is kept so.

Read `deployment` (the value that is stored), `schedule` and `timetable` (when it is wanted), `standing` (one deployment
in one snapshot), `space` (where it would go), `weights` (what those nodes lack), `view` (what a comparison looks at),
`acts` (what it can decide to do), `compare` (the one comparison, and the one act that follows from it), `assess` (what
is said): all of them are pure. `watch` is what one snapshot alone does not show.

`reconciler` is the loop that compares and acts. Its parts: `outcomes` (what the end of an operation changes) and `heed`
(what time and other people change), both pure; `waits` (waits that may be lost), `board` (what was last said, and what
follows for `health`).

`service` is what persons declare: `validation`, `contradiction` and `differences` judge it, `proposal` says what it
would do, `registry` and `records` keep it. `file` reads what a file declares, `file_change` is what follows from it.

Nothing here knows exo: acts are operations.
"""
