"""--wait: follows a subscription to its end, across broken connections, for at most --timeout seconds."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

from exo_graphql.cli import interrupts
from exo_graphql.cli.client import Data
from exo_graphql.cli.failures import Failure, Interrupted, TimedOut, from_operation_error
from exo_graphql.cli.following import newest
from exo_graphql.cli.format import duration
from exo_graphql.cli.progress import progress
from exo_graphql.cli.progress_view import Pace, ProgressView, operation_view, status_view
from exo_graphql.cli.session import Session
from exo_graphql.cli.terminal import clean
from exo_graphql.cli.unique_names import with_unique_names
from exo_graphql.documents import document

Json = Mapping[str, Any]
ACTIVE = ("PENDING", "RUNNING")


def wait_for_operation(session: Session, operation_id: str, seconds: float) -> None:
    """Shows an operation until it has ended; returns if it succeeded, raises `Failure` if not.

    After `seconds` raises `TimedOut`, at Ctrl-C `Interrupted`; the operation continues.
    """
    waiting = _Waiting(
        session,
        "follow_operation",
        {"id": operation_id},
        view_of=lambda data, pace: operation_view(data["operation"], pace),
        ended=lambda data: data["operation"]["state"] not in ACTIVE,
        failure=lambda data: operation_failure(data["operation"]),
    )
    still = f"The operation {operation_id} continues."
    how = (
        f"Follow it with `exo-graphql operations {operation_id} --wait`, "
        f"or stop it with `exo-graphql operations cancel {operation_id}`."
    )
    waiting.run(seconds, still, how, patient=True)


def wait_for_model(session: Session, model: str, seconds: float) -> None:
    """Shows a model until it is ready; raises `Failure` once waiting longer is useless."""
    waiting = _Waiting(
        session,
        "model_ready",
        {"model": model},
        view_of=lambda data, pace: status_view(data["modelStatus"], pace),
        ended=lambda data: not data["modelStatus"]["stale"] and _settled(data["modelStatus"]),
        failure=lambda data: _unready(data["modelStatus"]),
    )
    waiting.run(seconds, f"{model} is not ready.", None, patient=False)


def _unready(status: Json) -> Failure | None:
    return None if status["ready"] else status_failure(status) or Failure(status["message"])


def operation_failure(operation: Json) -> Failure | None:
    """Why an operation that has ended did not succeed; None if it did, or has not ended."""
    if operation["state"] in (*ACTIVE, "SUCCEEDED"):
        return None
    if operation["state"] == "PARKED":
        return Failure(
            operation["message"],
            f"Resume it here with `exo-graphql operations resume {operation['id']}`, "
            f"or discard it with `exo-graphql operations cancel {operation['id']}`.",
            "PARKED",
        )
    if operation["error"] is None:
        return Failure(operation["message"], code=operation["state"])
    failure = from_operation_error(operation["error"])
    failure.message = operation["message"]  # the reason, and what is loaded now: restored, removed again, or missing
    return failure


def status_failure(status: Json) -> Failure | None:
    """Why a model will not become ready by itself; None if it is, or may."""
    if not status["found"]:
        return Failure(
            f"No model is called {status['modelId']!r}.",
            "List the models with `exo-graphql models --all`.",
            "MODEL_NOT_FOUND",
        )
    if status["phase"] not in ("FAILED", "UNREACHABLE") and not status["final"]:
        return None
    failure = status["failure"]
    reason = f" {failure['message']}" if failure is not None and failure["message"] not in status["message"] else ""
    return Failure(f"{status['modelId']}: {status['message']}{reason}", code=status["phase"])


def _settled(status: Json) -> bool:
    return bool(status["ready"] or status["final"] or not status["found"])


class _Waiting:
    """One subscription, and the newest data it has brought."""

    def __init__(
        self,
        session: Session,
        name: str,
        variables: Json,
        *,
        view_of: Callable[[Data, Pace], ProgressView],
        ended: Callable[[Data], bool],
        failure: Callable[[Data], Failure | None],
    ) -> None:
        self._session = session
        self._document = document(name)
        self._variables = variables
        self._view_of = view_of
        self._ended = ended
        self._failure = failure
        self._data: Data | None = None

    def run(self, seconds: float, still: str, how: str | None, *, patient: bool) -> None:
        """Follows it to its end. Where JSON is wanted, the newest data are printed, or go with the failure."""
        try:
            data = interrupts.run(self._timed(seconds, patient=patient))
            failure = self._failure(data)
            if failure is not None:
                raise failure
            if self._session.terminal.as_json:
                self._session.terminal.print_json(data)
        except TimeoutError as error:
            raise TimedOut(f"Not done after {duration(seconds)}. {still}", how, data=self._data) from error
        except KeyboardInterrupt as error:
            raise Interrupted(f"Interrupted. {still}", how, data=self._data) from error
        except Failure as failure:
            failure.data = failure.data or self._data
            raise

    async def _timed(self, seconds: float, *, patient: bool) -> Data:
        async with asyncio.timeout(seconds):
            return await self._follow(patient=patient)

    async def _follow(self, *, patient: bool) -> Data:
        pace = Pace()
        async with self._session.client() as client:
            messages = client.follow(self._document, self._variables, patient=patient)
            with progress(self._session.terminal) as view:
                async with aclosing(newest(messages, view.lost)) as snapshots:
                    async for data in snapshots:
                        self._data = data
                        view.show(self._view_of(with_unique_names(clean(data)), pace))
                        if self._ended(data):
                            return data
        raise AssertionError("a subscription is followed until somebody stops")
