"""The command line, run in process and as a process of its own, against real servers over a simulated exo."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import pytest
from typer.testing import CliRunner

from exo_graphql.program import app
from exo_graphql.simulator import SimulatedExo, default_scenario, tiny_scenario
from tests.support.threaded import Served, served

MAIN = "from exo_graphql.main import main; main()"
PROGRAM = [sys.executable, "-c", MAIN]
"""The program from its very start."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it wrote, which must be one JSON document."""
        return json.loads(self.out)


Command = Callable[..., Ran]


def command_at(url: str) -> Command:
    """Runs commands in process, against the server at `url`."""

    def run(*arguments: str) -> Ran:
        result = CliRunner().invoke(app, ["--url", url, *arguments], env=_ENVIRONMENT)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


# What the tests' own surroundings say must not count.
_ENVIRONMENT: dict[str, str | None] = {"EXO_GRAPHQL_URL": None, "EXO_GRAPHQL_TOKEN": None, "COLUMNS": "100"}


@dataclass(frozen=True, slots=True)
class Process:
    """A command in a process of its own."""

    popen: "subprocess.Popen[str]"

    def line_with(self, text: str) -> str:
        """Reads stdout up to a line that holds `text`."""
        for line in _stream(self.popen.stdout):
            if text in line:
                return line
        raise AssertionError(f"no line with {text!r}")

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.popen.send_signal(signal.SIGINT)

    def end(self) -> Ran:
        """Waits for its end; what it wrote since it was last read."""
        out, err = self.popen.communicate(timeout=120)
        return Ran(self.popen.returncode, out, err)


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


@pytest.fixture(autouse=True, scope="package")
def interruptible() -> Iterator[None]:
    """A shell has what it runs in the background ignore Ctrl-C, and every process started from there inherits that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


Start = Callable[..., Process]


@contextmanager
def starting(program: Sequence[str]) -> Iterator[Start]:
    """Starts commands as processes; none outlives it."""
    begun: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> Process:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EXO_GRAPHQL_")}
        popen = subprocess.Popen(
            [*program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environment | {"PYTHONUNBUFFERED": "1"},
        )
        begun.append(popen)
        return Process(popen)

    yield run
    for popen in begun:
        if popen.poll() is None:
            popen.kill()
        with popen:
            pass


@pytest.fixture(scope="session")
def program(forking_python: Sequence[str]) -> Sequence[str]:
    """The program as a process that has its imports behind it."""
    return *forking_python, "-c", MAIN


@pytest.fixture
def start(program: Sequence[str]) -> Iterator[Start]:
    """Starts commands as processes; none outlives the test."""
    with starting(program) as run:
        yield run


@pytest.fixture(scope="module")
def day() -> Iterator[Served]:
    """Four unlike nodes in the middle of a working day; for looking only."""
    with served(SimulatedExo(default_scenario(), seed=3)) as server:
        yield server


@pytest.fixture(scope="module")
def look(day: Served) -> Command:
    """Runs commands that change nothing."""
    return command_at(day.url)


@pytest.fixture
def tiny() -> Iterator[Served]:
    """Two small nodes, ten times as fast as real ones."""
    with served(SimulatedExo(tiny_scenario(), speed=10.0, seed=1)) as server:
        yield server


@pytest.fixture
def slow() -> Iterator[Served]:
    """Two small nodes, slower than real ones: what is begun is still under way, however long a test is held up."""
    with served(SimulatedExo(tiny_scenario(), seed=1, speed=0.3)) as server:
        yield server


@pytest.fixture
def act(tiny: Served) -> Command:
    """Runs commands against the two small nodes."""
    return command_at(tiny.url)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Served]:
    """Two small nodes behind tokens."""
    exo = SimulatedExo(tiny_scenario(), speed=10.0, seed=1)
    with served(exo, tokens="read:reading-secret,operate:operating-secret") as server:
        yield server
