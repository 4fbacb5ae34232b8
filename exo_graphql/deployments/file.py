"""The deployments file: read again when it changes, and applied as a whole or not at all.

It is read every two seconds, in a thread, and compared byte by byte: a time stamp can stay the same, as with
`rsync -t` or when a container's volume is switched. A change is applied once two reads in a row are equal, so that a
half-written file is not applied.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from exo_graphql.cluster.upstream import Unreachable, Upstream
from exo_graphql.deployment_file.arguments import Table
from exo_graphql.deployment_file.reader import MAX_BYTES, DeploymentFile, InvalidFile, read
from exo_graphql.deployments.deployment import ManagedBy
from exo_graphql.deployments.file_change import Clash, Declared, file_change
from exo_graphql.deployments.registry import Registry
from exo_graphql.deployments.schedule import InvalidWindow, Window
from exo_graphql.deployments.schedule import check as check_window
from exo_graphql.deployments.validation import Declaration, check, in_zone, resolve
from exo_graphql.operations import (
    InstanceTypePreference,
    InvalidArgument,
    NodeNotFound,
    OperationError,
    ShardingPreference,
)
from exo_graphql.operations.rules import OperationRules
from exo_graphql.storage import StoreError

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
RETRY_AGE = 10.0
"""The greatest age in seconds of the snapshot for a further try: at rest the state is read every five."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file, and its content when the server was started."""

    path: Path
    first: bytes


def opened(path: Path, rules: OperationRules, time_zone: str) -> Source:
    """The file at the start of the server. Raises `InvalidFile`, also for what is invalid in any cluster."""
    data = _content(path)
    _checked(read(data), rules, time_zone)
    return Source(path, data)


class FileWatch:
    """Applies the file, for as long as `run` is awaited. `lock` is held while deployments are declared.

    `refused` is called with the reason when the file is refused, and with None once it is valid again.
    """

    def __init__(
        self,
        source: Source,
        registry: Registry,
        upstream: Upstream,
        rules: OperationRules,
        time_zone: str,
        lock: asyncio.Lock,
        refused: Callable[[str | None], None],
        *,
        at_start: bool = True,
        reason: str | None = None,
    ) -> None:
        """`at_start`: whether the source has just been read. Else the file is read again before it is applied.

        `reason` is why another server has refused it.
        """
        self._path = source.path
        self._at_start = at_start
        self._registry = registry
        self._upstream = upstream
        self._rules = rules
        self._time_zone = time_zone
        self._lock = lock
        self._refused = refused
        self._seen: bytes | InvalidFile = source.first
        self._applied: bytes | None = None
        self._tried: bytes | None = None
        self._reason = reason

    async def run(self) -> None:
        """Reads and applies until it is cancelled."""
        content = self._seen
        if not self._at_start:
            self._seen = await asyncio.to_thread(self._read)
            await asyncio.sleep(POLL_SECONDS)
            content = await asyncio.to_thread(self._read)
        while True:
            try:
                await self._take(content)
            except Exception:
                log.exception("The deployments file: an internal error; trying again.")
            await asyncio.sleep(POLL_SECONDS)
            content = await asyncio.to_thread(self._read)

    def _read(self) -> bytes | InvalidFile:
        try:
            return _content(self._path)
        except InvalidFile as error:
            return error

    async def _take(self, content: bytes | InvalidFile) -> None:
        seen, self._seen = self._seen, content
        if isinstance(content, InvalidFile):
            if isinstance(seen, InvalidFile):  # an editor replaces a file in two steps
                self._refuse(content)
            return
        if content != seen:
            return
        if content == self._applied:
            self._accept()
            return
        try:
            await self._apply(content)
        except InvalidFile as error:
            # Tried again at the next read: the node or the model that it names may appear later.
            self._refuse(error)
        except Unreachable:
            log.debug("The deployments file waits for the first answer of exo.")
        except StoreError as error:
            log.error("The deployments file waits until the store can be written: %s", error)  # noqa: TRY400
        else:
            self._applied = content
            self._accept()

    async def _apply(self, content: bytes) -> None:
        file = read(content)
        declarations = _checked(file, self._rules, self._time_zone)
        # Further tries, every two seconds, must not cause exo's state to be read as often.
        max_age = RETRY_AGE if self._tried == content else 1.0
        self._tried = content
        async with self._lock:
            stored = {d.name: d for d in self._registry.all() if not d.deleted}
            tables = []
            for table, declaration in zip(file.tables, declarations, strict=True):
                text = orjson.dumps(table.arguments, option=orjson.OPT_SORT_KEYS).decode()
                before = stored.get(table.name)
                if before is not None and before.managed_by is ManagedBy.FILE and before.declared == text:
                    # Its names are not resolved again: a node that is absent now is not a mistake in the file.
                    tables.append(Declared(table.name, text, None))
                    continue
                snapshot = await self._upstream.fresh(max_age)
                spec = resolve(declaration, snapshot, self._rules, self._time_zone)
                if isinstance(spec, OperationError):
                    raise _located(file, declaration, spec, self._time_zone)
                tables.append(Declared(table.name, text, spec))
            change = file_change(self._registry.all(), tables, self._path.name)
            if isinstance(change, Clash):
                raise file.error((change.name, "model"), change.message, change.suggestion)
            await self._registry.change_all(change.changes, change.added, change.forgotten)
            for sentence in change.messages:
                log.info("%s: %s", self._path.name, sentence)

    def _refuse(self, error: InvalidFile) -> None:
        if str(error) != self._reason:
            self._reason = str(error)
            message = (
                f"The deployments file {self._path.name} was refused: {self._reason} What it declared before stays in "
                "effect."
            )
            log.error("%s", message)
            self._refused(message)

    def _accept(self) -> None:
        if self._reason is not None:
            self._reason = None
            log.info("The deployments file %s is valid again.", self._path.name)
            self._refused(None)


async def withdraw_all(registry: Registry) -> None:
    """Pauses what a file declared earlier, now that the server runs without one. Raises `StoreError`."""
    change = file_change(registry.all(), (), "")
    if isinstance(change, Clash):  # nothing is declared
        return
    await registry.change_all(change.changes, (), ())
    for sentence in change.messages:
        log.warning("No deployments file is given. %s", sentence)


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe may never end, and can be read only once
            raise InvalidFile("It is not a file.", "Give the name of a file that exists.")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidFile(f"It cannot be read: {error.strerror}.", "Make it readable for this user.") from error


def _checked(file: DeploymentFile, rules: OperationRules, time_zone: str) -> list[Declaration]:
    declarations = [_declaration(table) for table in file.tables]
    for declaration in declarations:
        windows = check(declaration, rules, time_zone)
        if isinstance(windows, OperationError):
            raise _located(file, declaration, windows, time_zone)
    return declarations


def _declaration(table: Table) -> Declaration:
    given = table.arguments
    return Declaration(
        name=table.name,
        model=given["model"],
        replicas=given.get("replicas", 1),
        min_nodes=given.get("minNodes", 1),
        sharding=ShardingPreference[given.get("sharding", "AUTO")],
        instance_type=InstanceTypePreference[given.get("instanceType", "AUTO")],
        nodes=given.get("nodes"),
        priority=given.get("priority", 0),
        schedule=[
            Window(w["cron"], w["durationMinutes"], w.get("timeZone", ""), w.get("readyBy", False))
            for w in given.get("schedule", ())
        ],
        idle_unload_seconds=given.get("idleUnloadSeconds"),
        drain_seconds=given.get("drainSeconds", 30),
    )


def _located(file: DeploymentFile, declared: Declaration, error: OperationError, time_zone: str) -> InvalidFile:
    """The error with its line and key."""
    path: tuple[str | int, ...] = (declared.name, "model")
    if isinstance(error, NodeNotFound):
        path = (declared.name, "nodes")
    elif isinstance(error, InvalidArgument):
        path = (declared.name, error.argument)
        if error.argument == "name":
            path = (declared.name,)
        for place, window in enumerate(declared.schedule):
            try:
                check_window(in_zone(window, time_zone))
            except InvalidWindow as problem:
                if problem.argument == error.argument:
                    path = (declared.name, "schedule", place, problem.argument)
                    break
    choices = getattr(error, "candidates", ()) or getattr(error, "available", ())
    suggestion = " ".join(filter(None, (error.suggestion, f"Choices: {', '.join(choices)}." if choices else "")))
    return file.error(path, error.message, suggestion)
