"""Deployments: what should be loaded, how and when; the cluster is kept so.

Read `deployment` (the value that is stored), `schedule` and `timetable` (when it is wanted), `standing` (one deployment
in one snapshot), `space` (where it would go), `view` (what a comparison looks at), `compare` (the one comparison, and
the one act that follows from it): all of them are pure. `watch` is what one snapshot alone does not show.

`reconciler` is the loop that compares and acts. Its parts: `acts` (an act as a request to the operations), `outcomes`
(what the end of an operation changes), `heed` (what time and other people change), all pure; `waits` (waits that may
be lost), `board` (what was last said, and what follows for `health`).

`service` is what persons declare: `validation`, `contradiction` and `differences` judge it, `proposal` says what it
would do, `registry` and `records` keep it. `file` reads what a file declares, `file_change` is what follows from it.

Nothing here knows exo: acts are operations.
"""
