"""What survives a restart: entries and idempotency keys, behind one protocol. It does not know what they mean.

Read `store.py` first (the protocol and its guarantees), then `leadership.py` (which server may write), `sqlite.py` (the
embedded implementation) and `migrations.py` (the versions of its schema). `postgres.py` is the one that servers share:
`lease.py` (the row that says which of them leads), `shared_leadership.py` (the task that takes and renews it),
`replica_rows.py` (how they find each other), `changes.py` and `listener.py` (how they learn what another one wrote).
`journal_import.py` brings the journal of SQLite into it.

`tests/storage/test_contract.py` holds every implementation to the protocol. Only `app.py` chooses one; the packages
that store something are handed a `Store`.
"""

from exo_graphql.storage.leadership import Leaderless, Leadership, Replica, is_shared
from exo_graphql.storage.store import Collection, Entry, Key, NotLeader, Store, StoreError

__all__ = [
    "Collection",
    "Entry",
    "Key",
    "Leaderless",
    "Leadership",
    "NotLeader",
    "Replica",
    "Store",
    "StoreError",
    "is_shared",
]
