"""The versions of the SQLite schema: each migration leads from the one before it, and none is ever changed.

`PRAGMA user_version` counts them. Those that rewrite records know the stored JSON of their time and no class of
today, so that a class may be renamed without a change here.
"""

import sqlite3
from collections.abc import Callable
from typing import Any

import orjson


class NewerSchema(Exception):
    """The file was written by a newer version; the message names both."""


def migrate(db: sqlite3.Connection) -> None:
    """Brings a database to the newest version, in one transaction. Raises `NewerSchema` and leaves it as it is."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= len(MIGRATIONS):
        raise NewerSchema(f"schema {version}, where this version knows {len(MIGRATIONS)}")
    db.execute("BEGIN EXCLUSIVE")
    try:
        for migration in MIGRATIONS[version:]:
            migration(db)
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _first_release(db: sqlite3.Connection) -> None:
    """0.1.0."""
    db.execute(
        "CREATE TABLE operations (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, active INTEGER NOT NULL, "
        "record BLOB NOT NULL)"
    )
    db.execute("CREATE INDEX finished ON operations (active, sequence)")
    db.execute(
        "CREATE TABLE keys (key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, operation_id TEXT NOT NULL, "
        "created_at REAL NOT NULL)"
    )


def _what_a_saga_relies_on(db: sqlite3.Connection) -> None:
    """Which cluster it is, what was there before, what has been ready; and a row that is written first."""
    db.execute("CREATE TABLE probe (writes INTEGER NOT NULL)")
    db.execute("INSERT INTO probe VALUES (0)")
    _rewrite(db, _extend)


def _extend(record: dict[str, Any]) -> None:
    memo = record["memo"]
    members: dict[str, str] = {}
    for target in memo["targets"]:
        target["ready"] = target.pop("done")
        members |= _nodes(target["instance"])
    for departure in memo["departures"]:
        departure |= {"ready": departure["sound"], "newcomer": False, "foreign": False, "hopeless": False}
        members |= _nodes(departure["instance"])
    # Names were not kept: only the ids of the nodes that it uses can tell whether the cluster is the same.
    memo |= {"members": members, "before": {}, "cancelling": False, "discarding": False}
    record["wish"]["attempts"] = None
    if record["problem"] is not None and record["problem"][0] == "LoadFailed":
        record["problem"][1]["attempts"] = 0


def _plain_names(db: sqlite3.Connection) -> None:
    """The names that the code has for the same things since."""
    _rewrite(db, _rename)


def _rename(record: dict[str, Any]) -> None:
    saga_state = record["memo"]
    saga_state["removals"] = saga_state.pop("departures")
    for removal in saga_state["removals"]:
        removal["healthy"] = removal.pop("sound")
    for target in saga_state["targets"]:
        target["adopts"] = target.pop("follows")
    record["operation"]["error"] = record["operation"].pop("problem")
    for old, new in {"problem": "error", "wish": "request", "memo": "saga_state"}.items():
        record[new] = record.pop(old)


def _rewrite(db: sqlite3.Connection, change: Callable[[dict[str, Any]], None]) -> None:
    for sequence, body in db.execute("SELECT sequence, record FROM operations").fetchall():
        try:
            record = orjson.loads(body)
            change(record)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            continue  # what could not be read before is kept as it is
        db.execute("UPDATE operations SET record = ? WHERE sequence = ?", (orjson.dumps(record), sequence))


def _nodes(instance: dict[str, Any] | None) -> dict[str, str]:
    shards = [] if instance is None else instance["shards"]
    return {shard["node_id"]: "" for shard in shards if shard["node_id"] is not None}


def _deployments(db: sqlite3.Connection) -> None:
    """Deployments; and of operations for which of them, exactly which instances they unload, and which they placed."""
    db.execute(
        "CREATE TABLE deployments (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, active INTEGER NOT NULL, "
        "record BLOB NOT NULL)"
    )
    _rewrite(db, _name_instances)


def _name_instances(record: dict[str, Any]) -> None:
    only = record["saga_state"].pop("only_instance")
    record["saga_state"]["only_instances"] = None if only is None else [only]
    record["request"] |= {"instances": None, "deployment": None}
    record["operation"] |= {"deployment": None, "placed": []}


def _events(db: sqlite3.Connection) -> None:
    """What happened."""
    db.execute(
        "CREATE TABLE events (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, active INTEGER NOT NULL, "
        "record BLOB NOT NULL)"
    )


def _plain_names_of_removals(db: sqlite3.Connection) -> None:
    """The names that the code has for what is known of an instance to be unloaded since."""
    _rewrite(db, _rename_removals)


def _rename_removals(record: dict[str, Any]) -> None:
    names = {"asked": "deletion_requested", "foreign": "deleted_by_others", "hopeless": "unrestorable"}
    for removal in record["saga_state"]["removals"]:
        for old, new in names.items():
            removal[new] = removal.pop(old)


def _callers(db: sqlite3.Connection) -> None:
    """Who requested an operation, and who cancelled it."""
    _rewrite(db, _without_names)


def _without_names(record: dict[str, Any]) -> None:
    record["operation"] |= {"by": None, "cancelled_by": None}


def _history(db: sqlite3.Connection) -> None:
    """What nodes and cluster have reported over time."""
    for table in ("history_minutes", "history_ten_minutes"):
        db.execute(
            f"CREATE TABLE {table} (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, active INTEGER NOT NULL, "
            "record BLOB NOT NULL)"
        )


def _serving(db: sqlite3.Connection) -> None:
    """What was ready to serve."""
    db.execute(
        "CREATE TABLE serving (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, active INTEGER NOT NULL, "
        "record BLOB NOT NULL)"
    )


def _webhooks(db: sqlite3.Connection) -> None:
    """How far each webhook is."""
    db.execute(
        "CREATE TABLE webhooks (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, active INTEGER NOT NULL, "
        "record BLOB NOT NULL)"
    )


def _past(db: sqlite3.Connection) -> None:
    """What was known of models."""
    db.execute(
        "CREATE TABLE past (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, active INTEGER NOT NULL, "
        "record BLOB NOT NULL)"
    )


def _memories(db: sqlite3.Connection) -> None:
    """What is remembered of deployments."""
    db.execute(
        "CREATE TABLE memories (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, active INTEGER NOT NULL, "
        "record BLOB NOT NULL)"
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _first_release,
    _what_a_saga_relies_on,
    _plain_names,
    _deployments,
    _events,
    _plain_names_of_removals,
    _callers,
    _history,
    _serving,
    _webhooks,
    _past,
    _memories,
)
