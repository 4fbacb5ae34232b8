"""Processes to be measured: pinned to one core, started, asked about, ended."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
SERVER_CORE, LOAD_CORE = 0, 1
OURS = ("-c", "from exo_graphql.main import main; main()")
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """A process that listens, and how many seconds it took from its start to its first answer."""

    pid: int
    port: int
    seconds_to_answer: float

    def url(self, path: str) -> str:
        """Of a path on it."""
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def memory_mb(self) -> float:
        """What of it is in memory now (proportional set size), in MB (10^6 bytes)."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:"))

    @property
    def resident_mb(self) -> float:
        """Its resident set, shared pages included, in MB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmRSS:"))

    @property
    def cpu_seconds(self) -> float:
        """CPU time that it has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pin(core: int) -> None:
    """Keeps this process on one core."""
    os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})


@contextmanager
def serving(command: Sequence[str], port: int, first: str | tuple[str, bytes], core: int) -> Iterator[Server]:
    """Runs Python with `command`, from its first answer to `first` (a path, or one and a body to post) on."""
    # Many containers set it. What pip has installed is compiled; here the first start, not counted, does it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # Its own: a server remembers what the one before it has seen, such as models that were lost with the last exo.
    with TemporaryDirectory() as state_dir:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**environment, "EXO_GRAPHQL_STATE_DIR": state_dir},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: pin(core),
        )
        try:
            path, body = (first, None) if isinstance(first, str) else first
            _await_answer(port, path, body, process)
            yield Server(process.pid, port, time.perf_counter() - began)
        finally:
            process.terminate()
            process.wait(_PATIENCE)


def _await_answer(port: int, path: str, body: bytes | None, process: "subprocess.Popen[bytes]") -> None:
    until = time.perf_counter() + _PATIENCE
    while process.poll() is None and time.perf_counter() < until:
        try:
            fetch(f"http://127.0.0.1:{port}{path}", body)
        except ConnectionError:
            time.sleep(0.005)
        else:
            return
    raise RuntimeError(f"{path} of port {port} does not answer")


def fetch(url: str, body: bytes | None = None) -> bytes:
    """One answer, which must be a good one. By the standard library: a client of more comfort takes time to start."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE)
    try:
        connection.request("GET" if body is None else "POST", parts.path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{url}: {answer.status} {content[:200]!r}")
    return content
