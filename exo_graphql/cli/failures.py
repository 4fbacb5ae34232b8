"""What can go wrong for a user of the command line, with the exit code for scripts.

Failure        1    rejected, failed, rolled back, not found, unhealthy, output that cannot be written
WrongUsage     2    an unknown command, option or argument, or an invalid value; 64 of `apply`, where 2 means changes
NoServer      69    no exo-graphql at that address (EX_UNAVAILABLE of sysexits.h)
TimedOut     124    the code of timeout(1)
Interrupted  130    Ctrl-C: the shells' code for SIGINT
OutputFailed   1    stdout cannot be written; 141, the shells' code for SIGPIPE, if its reader closed it (`| head`)
"""

from collections.abc import Mapping, Sequence
from typing import Any


class Failure(Exception):
    """The command failed. `message` is a sentence, `suggestion` what to do about it, `code` the error code.

    `data` is what the server answered nevertheless, for --json.
    """

    exit_code = 1
    default_code: str | None = None

    def __init__(
        self,
        message: str,
        suggestion: str | None = None,
        code: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion
        self.code = code
        self.data = data

    def as_json(self) -> Mapping[str, Any]:
        """What --json prints: the data, if any, and an `error` with `code`, `message` and `suggestion` or null."""
        error = {
            "code": self.code or self.default_code or "FAILED",
            "message": self.message,
            "suggestion": self.suggestion,
        }
        return {**(self.data or {}), "error": error}

    @property
    def silent(self) -> bool:
        """Whether nothing is reported."""
        return False


class WrongUsage(Failure):
    """The command line cannot be understood."""

    exit_code = 2
    default_code = "WRONG_USAGE"


class NoServer(Failure):
    """Nothing answers at that address, or not as GraphQL."""

    exit_code = 69
    default_code = "NO_SERVER"


class Unanswered(NoServer):
    """The connection broke or no answer came: the request may have been executed."""


class TimedOut(Failure):
    """The time of --timeout is over. The operation continues."""

    exit_code = 124
    default_code = "WAIT_TIMED_OUT"


class Interrupted(Failure):
    """Ctrl-C. The operation continues."""

    exit_code = 130
    default_code = "INTERRUPTED"


def from_errors(errors: Sequence[Mapping[str, Any]]) -> Failure:
    """What a response's `errors` say: the first in full, the messages of the others after it."""
    first = errors[0] if errors else {}
    extensions = first.get("extensions") or {}
    message = " ".join(dict.fromkeys(str(error.get("message", "An error without a message.")) for error in errors))
    choices = extensions.get("candidates") or extensions.get("available") or ()
    suggestion, code = extensions.get("suggestion"), extensions.get("code")
    if code == "GRAPHQL_VALIDATION_FAILED":
        # The documents are valid against the whole schema of this version.
        suggestion = "The server was started with --read-only, or is of another version than this command."
    return Failure(
        message or "The server reports an error without a message.", _with_choices(suggestion, choices), code
    )


def from_operation_error(error: Mapping[str, Any]) -> Failure:
    """What an `OperationError` says, with the details that its type adds."""
    suggestion = error.get("suggestion")
    for key in ("candidates", "available", "instanceIds", "custom"):
        suggestion = _with_choices(suggestion, error.get(key) or ())
    for key, words in (("loaded", "Loaded: "), ("unloadToFit", "Unloading this would make it fit: ")):
        suggestion = _with_choices(suggestion, [model["id"] for model in error.get(key) or ()], words)
    return Failure(error["message"], suggestion, error.get("code"))


def _with_choices(suggestion: str | None, choices: Sequence[str], words: str = "Choices: ") -> str | None:
    given = suggestion or ""
    unsaid = [str(choice) for choice in choices if str(choice) not in given]
    return _joined(suggestion, words + ", ".join(unsaid)) if unsaid else suggestion


def _joined(suggestion: str | None, more: str) -> str:
    return f"{suggestion} {more}" if suggestion else more
