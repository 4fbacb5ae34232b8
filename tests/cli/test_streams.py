"""stdout and stderr that are full or closed, a second Ctrl-C, a port that is taken: one line, the right code."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.cli.conftest import PROGRAM, Start, starting
from tests.support.threaded import Served

FULL = "error: Cannot write to stdout: No space left on device. [OUTPUT_FAILED]\n"
CLOSED = "error: Cannot write to stdout: Bad file descriptor. [OUTPUT_FAILED]\n"


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts commands as processes of their own from the very start, when a signal finds no handler yet."""
    with starting(PROGRAM) as run:
        yield run


def shell(line: str, *arguments: str) -> tuple[int, str]:
    """Runs the program as "$@" in a line of sh; its exit code, and stderr."""
    done = subprocess.run(
        ["sh", "-c", line, "sh", *PROGRAM, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
@pytest.mark.parametrize(
    ("line", "code", "err"),
    [
        ('"$@" nodes >/dev/full', 1, FULL),
        ('"$@" --json watch >/dev/full', 1, FULL),
        ('"$@" --help >/dev/full', 1, FULL),
        ('"$@" nodes >&-', 1, CLOSED),
        ('"$@" nodes 2>&-', 0, ""),
        ('"$@" nodes 2>/dev/full', 0, ""),
        ('"$@" nodes nonsense 2>&-', 1, ""),
        ('"$@" nodes nonsense >&- 2>&-', 1, ""),
        ('"$@" nonsense >&- 2>&-', 2, ""),
        ('"$@" nodes <&-', 0, ""),
        ('{ "$@" models --all; echo $? >&3; } 3>&2 | true', 0, "141\n"),
        ('{ "$@" --json models --all; echo $? >&3; } 3>&2 | true', 0, "141\n"),
    ],
)
def test_a_stream_that_cannot_be_written(day: Served, line: str, code: int, err: str) -> None:
    assert shell(line, "--url", day.url) == (code, err)


def test_a_second_ctrl_c_is_silent(tiny: Served, start: Start) -> None:
    process = start("--url", tiny.url, "watch")
    process.line_with("healthy")
    for _ in range(3):
        process.interrupt()
        time.sleep(0.01)  # signals that come at the same instant are one
    ran = process.end()
    assert (ran.code, ran.err) == (130, "")


@pytest.mark.parametrize("command", [["serve", "--demo"], ["simulate"]])
def test_a_port_that_is_taken_is_named_with_the_flag(program: Sequence[str], command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, starting(program) as run:
        done = run(*command, "--port", str(taken.getsockname()[1])).end()
    assert done.code == 1
    assert "address already in use" in done.err
    assert "--port" in done.err
    assert "Traceback" not in done.err


def test_what_went_wrong_keeps_its_exit_code_though_the_object_cannot_be_written() -> None:
    code, err = shell('"$@" --json nodes >&-', "--url", "http://127.0.0.1:1")
    assert code == 69
    assert "No server answers" in err
    assert "OUTPUT_FAILED" not in err


@pytest.mark.parametrize("command", [["serve", "--demo"], ["simulate"]])
def test_a_second_ctrl_c_does_not_break_a_server_s_shutdown_off(start: Start, command: list[str]) -> None:
    process = start(*command, "--port", "0")
    assert process.popen.stderr is not None
    assert "http://127.0.0.1:" in process.popen.stderr.readline()
    for _ in range(2):
        if process.popen.poll() is None:
            process.interrupt()
            time.sleep(0.02)  # signals that come at the same instant are one
    ran = process.end()
    assert (ran.code, ran.err) == (0, "")
