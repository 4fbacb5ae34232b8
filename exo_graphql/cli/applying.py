"""`apply -f`: plans all deployments of a file, and applies them only if all are valid."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exo_graphql.cli.failures import Failure, NoServer, from_operation_error
from exo_graphql.cli.session import Session
from exo_graphql.deployment_file.arguments import WINDOW_KEYS, Table
from exo_graphql.deployment_file.reader import DeploymentFile, InvalidFile, read

Json = Mapping[str, Any]

STDIN = "-"
_ABOUT = {
    "NODE_NOT_FOUND": "nodes",
    "MODEL_NOT_FOUND": "model",
    "MODEL_AMBIGUOUS": "model",
    "MODEL_ALREADY_DEPLOYED": "model",
}
"""The key of a table that an error without `argument` is about; other errors are about the whole table."""


def content(name: str) -> DeploymentFile:
    """The file of that name, `-` is stdin. Raises `Failure`."""
    try:
        data = _stdin() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise Failure(f"{name} cannot be read: {error.strerror}.", "Check the name.", "FILE_UNREADABLE") from error
    try:
        return read(data)
    except InvalidFile as error:
        where = InvalidFile(error.message, "", error.line, error.key)
        raise Failure(f"{_called(name)}, {where}", error.suggestion, "INVALID_FILE") from error


def _stdin() -> bytes:
    # None where the process was started without one (`<&-`).
    return b"" if sys.stdin is None else sys.stdin.buffer.read()


class Apply:
    """The tables of a file against the deployments of a server."""

    def __init__(self, session: Session, name: str, *, dry_run: bool) -> None:
        self._session = session
        self._file = content(name)
        self._name = _called(name)
        self._dry_run = dry_run
        self._known: dict[str, Json] = {}
        self._found: list[dict[str, Any]] = []

    @property
    def found(self) -> dict[str, Any]:
        """What `--json` prints: each deployment with its `status`, `applied`, `changes` and `plan`."""
        return {"dryRun": self._dry_run, "deployments": self._found}

    @property
    def changes(self) -> bool:
        """Whether anything was to be changed."""
        return any(each["status"] != "unchanged" for each in self._found)

    def run(self) -> None:
        """Plans all tables, then applies those that change, in the order of the file. Raises `Failure`."""
        known = self._session.ask("deployments")["deployments"]
        self._known = {each["name"]: each for each in known}
        for table in self._file.tables:
            self._found.append(self._planned(table))
        self._refuse_a_model_twice()
        if self._dry_run:
            return
        for table, each in zip(self._file.tables, self._found, strict=True):
            if each["status"] != "unchanged":
                self._apply(table, each)

    def _planned(self, table: Table) -> dict[str, Any]:
        known = self._known.get(table.name)
        payload = self._send(table, dry_run=True)
        error = payload["error"]
        status = "new" if known is None else "changed"
        if error is not None:
            if not self._is_freed_before(error):
                raise self._failure(table, error, applied=[])
            status = "unknown"
        elif known is not None and not payload["changes"]:
            status = "unchanged"
        return {
            "name": table.name,
            "status": status,
            "applied": False,
            "generation": None if known is None else known["generation"],
            "pausedBecause": None if known is None else known["pausedBecause"],
            "changes": payload["changes"],
            "plan": payload["plan"],
            "openUntil": payload["openUntil"],
            "nextOpening": payload["nextOpening"],
        }

    def _is_freed_before(self, error: Json) -> bool:
        """Whether the model is free by then: an earlier table gives the other deployment of it another model."""
        other = (error.get("deployment") or {}).get("name")
        freed = [each["name"] for each in self._found if any(c["argument"] == "model" for c in each["changes"])]
        return error["code"] == "MODEL_ALREADY_DEPLOYED" and other in freed

    def _refuse_a_model_twice(self) -> None:
        models: dict[str, str] = {}
        for table, each in zip(self._file.tables, self._found, strict=True):
            after = [change["after"] for change in each["changes"] if change["argument"] == "model"]
            known = self._known.get(table.name)
            model = after[0].strip('"') if after else known["modelId"] if known is not None else None
            if model is not None and models.setdefault(model, table.name) != table.name:
                error = {
                    "code": "MODEL_ALREADY_DEPLOYED",
                    "message": f"Deployment {models[model]!r} of this file has {model} already.",
                    "suggestion": "For more copies of a model, set its `replicas`.",
                }
                raise self._failure(table, error, applied=[])

    def _apply(self, table: Table, each: dict[str, Any]) -> None:
        done = [entry["name"] for entry in self._found if entry["applied"]]
        try:
            payload = self._send(table, dry_run=False)
        except Failure as failure:
            lost = isinstance(failure, NoServer)
            unsure = f" Whether {table.name} was applied is not known." if lost else ""
            failure.message = f"{failure.message}{unsure} {self._progress(done)}"
            failure.data = self.found
            raise
        if payload["error"] is not None:
            raise self._failure(table, payload["error"], done)
        each.update(
            applied=True,
            generation=payload["deployment"]["generation"],
            **{key: payload[key] for key in ("changes", "plan", "openUntil", "nextOpening")},
        )
        if each["status"] == "unknown":
            each["status"] = "new" if table.name not in self._known else "changed"

    def _send(self, table: Table, *, dry_run: bool) -> Json:
        known = self._known.get(table.name)
        # `ifGeneration`: somebody else may have changed the deployment since it was planned.
        generation = 0 if known is None else known["generation"]
        data = self._session.ask(
            "apply_deployment", name=table.name, dryRun=dry_run, ifGeneration=generation, **table.arguments
        )
        payload: Json = data["applyDeployment"]
        return payload

    def _failure(self, table: Table, error: Json, applied: Sequence[str]) -> Failure:
        failure = from_operation_error(error)
        where = self._file.error(self._path(table, error), failure.message, "")
        failure.message = f"{self._name}, {where} {self._progress(applied)}"
        failure.data = self.found
        return failure

    def _progress(self, applied: Sequence[str]) -> str:
        if not applied:
            return "Nothing was applied."
        left = [each["name"] for each in self._found if not each["applied"] and each["status"] != "unchanged"]
        return f"Applied: {', '.join(applied)}. Not applied: {', '.join(left)}."

    @staticmethod
    def _path(table: Table, error: Json) -> tuple[str | int, ...]:
        """The path of the key that an error is about."""
        argument = error.get("argument") or _ABOUT.get(error["code"], "name")
        if argument in {key.name for key in WINDOW_KEYS}:
            windows = table.arguments.get("schedule", ())
            place = next((n for n, w in enumerate(windows) if str(w.get(argument)) in error["message"]), 0)
            return (table.name, "schedule", place, argument)
        return (table.name,) if argument == "name" else (table.name, argument)


def _called(name: str) -> str:
    return "stdin" if name == STDIN else name
