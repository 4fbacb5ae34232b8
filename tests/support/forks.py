"""Python processes that need not import the program first: each is forked from one that has.

Importing takes most of the time of a command, and most tests of its process are about something else: exit codes,
signals, terminals. What such a test starts is `fork_client.py`, a real process that passes its arguments, variables,
folder and streams on and lives as long as the fork; it ends with its exit code and passes signals on. How the program
behaves from its very start, with streams that are closed or full, is tested with processes of its own.
"""

import fcntl
import gc
import io
import marshal
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest

CLIENT = Path(__file__).with_name("fork_client.py")


@pytest.fixture(scope="session")
def forking_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[str]]:
    """The beginning of a command, to go on as `python` does: `-c`, a program, its arguments.

    All processes of pytest use one origin. The first that needs it starts it, and it ends with the last.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # which they share
    address = str(folder / "forks")
    with (folder / "forks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        user = _user_of(address) or _started(address)
    with user:
        yield sys.executable, "-I", "-S", str(CLIENT), address


def _started(address: str) -> socket.socket:
    origin = [sys.executable, "-m", "tests.support.forks", address]
    subprocess.run(origin, cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL, check=True, timeout=120)
    user = _user_of(address)
    assert user is not None
    return user


def _user_of(address: str) -> socket.socket | None:
    """A connection for as long as this process may want forks; None where no origin is left."""
    user = socket.socket(socket.AF_UNIX)
    try:
        user.connect(f"{address}.users")
    except OSError:
        user.close()
        return None
    return user


def _serve(address: str) -> None:
    """Forks a process for each client as long as it has a user; returns in each that is to run a program."""
    from typer.testing import CliRunner

    from exo_graphql.program import app

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what runs in its background ignore it
    # Some of what a command needs is imported when it is first used: by a question to a server that is not there.
    assert CliRunner().invoke(app, ["--url", "http://127.0.0.1:1", "models"]).exit_code == 69
    assert CliRunner().invoke(app, ["serve", "--help"]).exit_code == 0
    gc.collect()
    gc.freeze()
    with _listener(address) as clients, _listener(f"{address}.users") as entrance:
        if os.fork():
            os._exit(0)  # it listens, and so its starter need not wait any longer
        with Path(os.devnull).open("r+b") as nothing:
            for number in range(3):
                os.dup2(nothing.fileno(), number)
        users: set[socket.socket] = set()
        while True:
            ready = select.select([clients, entrance, *users], [], [], None if users else 60)[0]
            users.difference_update(ready)  # one that can be read has been closed
            if entrance in ready:
                users.add(entrance.accept()[0])
            if clients in ready:
                connection, _ = clients.accept()
                if os.fork() == 0:
                    _run_for(connection)
                    return
                connection.close()
            while _reaped():
                pass
            if not users:
                os._exit(0)


def _listener(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    with suppress(FileNotFoundError):
        os.unlink(address)  # noqa: PTH108
    listener.bind(address)
    listener.listen()
    return listener


def _reaped() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _run_for(connection: socket.socket) -> None:
    """Forks the process of a client and returns in it; waits for its end and reports that."""
    message, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 3)
    size = int.from_bytes(message[:4])
    while len(message) < 4 + size:
        message += connection.recv(1 << 16)
    arguments, environment, folder, numbers = marshal.loads(message[4:])  # noqa: S302 - from our own client
    child = os.fork()
    if child == 0:
        connection.close()
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        _take_over(dict(zip(numbers, descriptors, strict=True)))
        sys.argv = ["-c", *arguments]
        return
    for descriptor in descriptors:
        os.close(descriptor)
    with suppress(OSError):  # the client may have ended already
        connection.sendall(child.to_bytes(4))
    threading.Thread(target=_end_with, args=(connection, child), daemon=True).start()
    _, status = os.waitpid(child, 0)
    with suppress(OSError):
        connection.sendall(status.to_bytes(4))
    os._exit(0)


def _end_with(connection: socket.socket, child: int) -> None:
    """Ends the process when its client has ended first, as one that was killed."""
    with suppress(ConnectionResetError):  # it ended before it has read what was sent
        connection.recv(1)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def _take_over(streams: dict[int, int]) -> None:
    """Makes these descriptors by number the standard streams; what is missing is closed."""
    kept = {number: os.dup(descriptor) for number, descriptor in streams.items()}
    os.closerange(0, 3)
    for number, descriptor in kept.items():
        os.dup2(descriptor, number)
        os.close(descriptor)
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = open(0, closefd=False) if 0 in kept else None  # noqa: SIM115
    sys.stdout = _text(1, "strict", unbuffered=unbuffered) if 1 in kept else None
    sys.stderr = _text(2, "backslashreplace", unbuffered=unbuffered) if 2 in kept else None


def _text(number: int, errors: str, *, unbuffered: bool) -> io.TextIOWrapper:
    raw = io.FileIO(number, "w", closefd=False)
    lines = number == 2 or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), errors=errors, line_buffering=lines, write_through=unbuffered)


if __name__ == "__main__":
    _serve(sys.argv[1])
    flag, program, *sys.argv[1:] = sys.argv[1:]
    assert flag == "-c"
    sys.modules["__main__"] = ModuleType("__main__")
    exec(program, vars(sys.modules["__main__"]))  # noqa: S102 - as Python does
