"""stdin, stdout and stderr of the process, even if they are closed or cannot be written.

Python by itself prints a traceback, or exits with 120, where stdout cannot be written (`>/dev/full`, a closed pipe),
and fails on a stream that is closed (`2>&-`). Here stdout that cannot be written is one failure, reported once; stderr
that cannot be written changes nothing.
"""

import io
import os
import sys
from typing import Any

from exo_graphql.cli.failures import Failure

# The shells' code for SIGPIPE, by which git, kubectl and most others end when the reader closes the pipe (`| head`).
# With 1 a script could not distinguish it from a command that failed.
BROKEN_PIPE = 128 + 13


class OutputFailed(Failure):
    """stdout cannot be written."""

    @property
    def silent(self) -> bool:
        """Whether the reader has closed the pipe (`| head`): that is not reported."""
        return isinstance(self.__cause__, BrokenPipeError)


class _Output(io.FileIO):
    """A file whose first failure raises `OutputFailed`. What is written afterwards is dropped."""

    _failed = False

    def write(self, data: Any, /) -> int:
        if self._failed:
            return len(data)
        try:
            return super().write(data) or 0
        except OSError as error:
            self._failed = True
            failure = OutputFailed(f"Cannot write to stdout: {error.strerror}.", code="OUTPUT_FAILED")
            if isinstance(error, BrokenPipeError):
                failure.exit_code = BROKEN_PIPE
            raise failure from error


class _Diagnostics(io.FileIO):
    """A file that drops what it cannot write."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def prepare() -> None:
    """Replaces stdout and stderr as described above. Call it once, before anything is opened or written."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # Otherwise the next socket would get this number, and error messages would be sent to the server. `open`
            # takes the lowest free number, which is this one. stdout is opened for reading, so that writing fails.
            os.open(os.devnull, os.O_WRONLY if descriptor == 2 else os.O_RDONLY)
    sys.stdout = _text(_Output(1, "w", closefd=False), like=sys.stdout, errors="replace")
    sys.stderr = _text(_Diagnostics(2, "w", closefd=False), like=sys.stderr, errors="backslashreplace")


def finish(code: int) -> int:
    """Flushes the streams. Returns the exit code: `code`, or 1 if it was 0 and output was lost."""
    try:
        sys.stdout.flush()
    except OutputFailed as failure:
        report(failure)
        return code or failure.exit_code
    finally:
        sys.stderr.flush()
    return code


def report(failure: OutputFailed) -> None:
    """Reports the failure in a line, unless it is silent."""
    if not failure.silent:
        sys.stderr.write(f"error: {failure.message} [{failure.code}]\n")


def _text(raw: io.FileIO, like: Any, errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(like, "encoding", None),
        errors=errors,
        line_buffering=raw.isatty() or raw.fileno() == 2,
        write_through=getattr(like, "write_through", False),
    )
