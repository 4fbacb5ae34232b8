"""Deployments state what should be loaded, how and when; the server keeps the cluster that way.

Read the pure half first: `deployment` (the value that is stored), `schedule` and `timetable` (when it is wanted),
`status` (what of it is loaded in one snapshot), `space` (where a copy would be placed), `weights` (which nodes lack
them), `view` (the input of a comparison), `acts` (its possible results), `compare` (the one comparison, and the one act
that follows from it), `assess` (the state and reason of each deployment). `watch` holds what a single snapshot does not
show, such as since when an instance has been unreachable.

`reconciler` is the loop that compares and acts. Its parts: `outcomes` (what the end of an operation changes) and
`adjust` (what time and other people change), both pure; `acting` (carries the act out), `waits` (when the next request
may come), `memories` (what of that, and since when a state lasts, is stored), `assessments` (the last results, and what
follows for `health`). `keeping` says who runs it: of several servers one acts, and the others compare and show.

`service` is the API: `validation`, `contradiction` and `differences` check a declaration, `proposal` is its dry run,
`registry` and `records` store it. `file` applies a deployments file, `file_change` says what it changes.

Nothing here knows exo's API: acts are operations.
"""
