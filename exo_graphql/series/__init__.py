"""What nodes and cluster have reported over time: memory, GPU, temperature, power, active tasks, for 30 days.

Read `quantities` first (what is kept, and how in two bytes), then `ring` (equal intervals of time, the newest in place
of the oldest), `track` (three rings for one node: 5 s for an hour, a minute for a day, 10 minutes for 30 days),
`tracks` (which node has which track: ids are new at each start of exo), `window` (from minutes and points to
intervals) and `series` (all of it). `samples` takes them off a snapshot. Only `sampler` waits: it samples every 5 s,
and keeps the coarser two in the store.
"""

from exo_graphql.series.series import Series
from exo_graphql.series.window import MAX_MINUTES, MAX_POINTS, History

__all__ = ["MAX_MINUTES", "MAX_POINTS", "History", "Series"]
