"""A fork behaves as a Python process of its own would."""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

WHAT_IT_IS_GIVEN = """
import os, sys
print(__name__, sys.argv, os.getcwd(), dict(os.environ), sys.stdin.read())
print("said", file=sys.stderr)
sys.exit(7)
"""
WAITING = """
import os, signal, sys, time
{prepare}
try:
    print(os.getpid(), flush=True)
    while True:
        time.sleep(0.05)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_it_has_its_arguments_variables_folder_and_streams(forking_python: Sequence[str], tmp_path: Path) -> None:
    ran = subprocess.run(
        [*forking_python, "-c", WHAT_IT_IS_GIVEN, "--flag", "a b"],
        input="what is read",
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={"LANG": "C.UTF-8", "ONE": "1"},
    )
    given = f"__main__ ['-c', '--flag', 'a b'] {tmp_path} {{'LANG': 'C.UTF-8', 'ONE': '1'}} what is read\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, given, "said\n")


def test_it_forks_while_others_run_and_imports_nothing_of_the_program_again(forking_python: Sequence[str]) -> None:
    known = "import sys; print('exo_graphql.cli.commands' in sys.modules, 'tests.support.forks' in sys.modules)"
    begun = [
        subprocess.Popen([*forking_python, "-c", known], stdout=subprocess.PIPE, stdin=subprocess.PIPE) for _ in "abc"
    ]
    assert [process.communicate(timeout=120)[0] for process in begun] == [b"True False\n"] * 3


@pytest.mark.parametrize(
    ("line", "open_streams"), [('"$@" <&-', "12"), ('"$@" 2>&-', "01"), ('"$@" <&- 2>&-', "1"), ('"$@"', "012")]
)
def test_what_its_starter_has_closed_is_closed(forking_python: Sequence[str], line: str, open_streams: str) -> None:
    look = """
import os, sys
for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
    try:
        os.fstat(number)
    except OSError:
        assert stream is None
    else:
        assert stream.fileno() == number
        print(number, end="")
"""
    ran = subprocess.run(["sh", "-c", line, "sh", *forking_python, "-c", look], stdout=subprocess.PIPE, timeout=120)
    assert ran.stdout.decode() == open_streams


@pytest.mark.parametrize(
    ("prepare", "number", "code"),
    [
        ("", signal.SIGINT, 130),
        ("", signal.SIGTERM, -signal.SIGTERM),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))", signal.SIGTERM, 9),
    ],
)
def test_a_signal_arrives_and_what_it_does_is_seen(
    forking_python: Sequence[str], prepare: str, number: int, code: int
) -> None:
    program = WAITING.format(prepare=prepare)
    with subprocess.Popen([*forking_python, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(120) == code


def test_it_ends_with_its_starter_s_process(forking_python: Sequence[str]) -> None:
    with subprocess.Popen([*forking_python, "-c", WAITING.format(prepare="")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        fork = int(process.stdout.readline())
        assert os.getpgid(fork), "it runs"
        process.kill()
        assert process.stdout.read() == b"", "its end closes what it writes to"


def test_what_kills_it_is_seen(forking_python: Sequence[str]) -> None:
    with subprocess.Popen([*forking_python, "-c", WAITING.format(prepare="")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        os.kill(int(process.stdout.readline()), signal.SIGKILL)
        assert process.wait(120) == -signal.SIGKILL
