"""From the bytes of exo's `GET /state` to a `State`: tolerant, and at the cost of what changed since the last one.

exo changes from release to release, and in its first seconds a node has reported only half of its data. What is
missing, null, of another type or tagged with an unknown name becomes None, UNKNOWN or absent. Only a document that is
no state at all raises (`NotAState`).

Read it in this order: `json_values` (untrusted JSON); one file a part of the state (`cards`, `nodes`, `topology`,
`instances`, `runners`, `downloads`, `tasks`); `state` (a whole document); `slices`, `parts` and `incremental` (only
what has changed).
"""

from exo_graphql.exo.parse.cards import read_card
from exo_graphql.exo.parse.incremental import StateReader
from exo_graphql.exo.parse.instances import read_instance
from exo_graphql.exo.parse.runners import RUNNER_TAGS
from exo_graphql.exo.parse.state import NotAState, parse_state, read_state
from exo_graphql.exo.parse.tasks import TASK_TAGS

__all__ = [
    "RUNNER_TAGS",
    "TASK_TAGS",
    "NotAState",
    "StateReader",
    "parse_state",
    "read_card",
    "read_instance",
    "read_state",
]
