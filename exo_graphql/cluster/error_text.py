"""The text of an error that exo reports: often a whole traceback, sometimes only how a process ended."""

import re

NO_MESSAGE = "The runner failed without a message."
NO_DOWNLOAD_MESSAGE = "The download failed without a message."

# exo's message for a process that ended: a signal or an exit code, and no reason.
_BARE = re.compile(r"Terminated( \(.*\))?\.?")


def names_no_cause(error: str) -> bool:
    """Whether exo's message says only how the runner ended, not why: `Terminated (signal=9 (Killed))`."""
    return not error.strip() or error == NO_MESSAGE or _BARE.fullmatch(error.strip()) is not None


def one_line(error: str) -> str:
    """The line of exo's message (often a whole traceback) that says what happened, at most 300 characters."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    line = next((line for line in lines if line.startswith("Runner error:")), lines[0] if lines else error)
    return line if len(line) <= 300 else line[:299] + "…"
