"""What happened: derived from two successive snapshots, and from what operations and deployments report.

Read `event` first (what an event is), then `cluster_events`, a pure function from two snapshots to what happened in
between, with a file for each noun: `models`, `nodes`, `downloads`, `links`. `losses` finds what nobody has dealt
with; `serving` what was lost while no server ran. `log` numbers and dates the events, keeps them in the store
(`records`, `age`) and writes each to the server's log (`log_line`); `published`, its other half, finds them (`filter`)
and passes each to the listeners: all of them show the same events. `held` is what a server sees happen while another
one records. `observability/recorder.py` feeds all of it.
"""

from exo_graphql.events.cluster_events import NEW_WATCH, Watch, cluster_events
from exo_graphql.events.event import Event, EventKind, Occurrence, Severity

__all__ = ["NEW_WATCH", "Event", "EventKind", "Occurrence", "Severity", "Watch", "cluster_events"]
