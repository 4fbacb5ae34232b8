"""A real PostgreSQL for the tests marked `postgres`, as a pytest plugin: a cluster of its own on a free port."""

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.support.process import free_port

# Debian keeps the programs of each version apart, and off the PATH.
_DEBIAN = Path("/usr/lib/postgresql")
# PostgreSQL refuses to run as root. Debian's package makes this user.
_OWNER = "postgres"


def _programs() -> Path | None:
    """The directory of `initdb` and `pg_ctl`: EXO_GRAPHQL_POSTGRES, the PATH's, or that of Debian's newest version."""
    named = os.environ.get("EXO_GRAPHQL_POSTGRES")
    if named:
        return Path(named)
    found = shutil.which("pg_ctl")
    if found:
        return Path(found).resolve().parent  # a link may lead to it, and not to the other programs
    versions = sorted(_DEBIAN.glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def missing() -> str | None:
    """Why there is no server to test with, None where there is one."""
    if _programs() is None:
        return "no PostgreSQL"
    if os.geteuid() == 0 and not any(user.pw_name == _OWNER for user in pwd.getpwall()):
        return f"PostgreSQL does not run as root, and there is no user {_OWNER}"
    return None


@dataclass
class PostgresServer:
    """A running server, which may be stopped and started again."""

    programs: Path
    directory: Path
    port: int

    def run(self, program: str, *arguments: str) -> None:
        """Runs one of its programs to its end."""
        command = [str(self.programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", _OWNER, "--", *command]
        subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=120)

    def create(self) -> None:
        """Makes its files. They need not outlive the machine, so nothing waits for the disk."""
        self.run("initdb", "-D", str(self.directory / "data"), "-U", "tests", "-A", "trust", "--no-sync")

    def start(self) -> None:
        """Starts it, on loopback alone."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        data, log = str(self.directory / "data"), str(self.directory / "log")
        self.run("pg_ctl", "start", "-w", "-D", data, "-l", log, "-o", options)

    def stop(self, mode: str = "immediate") -> None:
        """Stops it: `immediate` as if its machine had failed."""
        self.run("pg_ctl", "stop", "-w", "-D", str(self.directory / "data"), "-m", mode)

    @contextmanager
    def standby(self) -> Iterator["PostgresServer"]:
        """Another server that repeats what this one does, until it is promoted."""
        with _directory() as directory:
            server = PostgresServer(self.programs, directory, free_port())
            source = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "tests"]
            self.run("pg_basebackup", *source, "-D", str(directory / "data"), "-R", "--checkpoint=fast", "--no-sync")
            server.start()
            yield server
            server.stop()

    def until_replayed(self) -> None:
        """Waits until the standby has repeated everything."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            query = "SELECT 1 FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()"
            until = time.monotonic() + 120
            while connection.execute(query).fetchone() is None:
                assert time.monotonic() < until
                time.sleep(0.01)

    def url(self, database: str) -> str:
        """How to connect to a database."""
        return f"postgresql://tests@127.0.0.1:{self.port}/{database}"


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """A server of its own."""
    programs = _programs()
    assert programs is not None
    with _directory() as directory:
        server = PostgresServer(programs, directory, free_port())
        server.create()
        server.start()
        yield server
        server.stop()


@contextmanager
def _directory() -> Iterator[Path]:
    directory = Path(mkdtemp(prefix="exo-graphql-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(directory, _OWNER)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server of all tests of this process."""
    with running_server() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a new, empty database."""
    name = Identifier(f"test_{uuid4().hex}")
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(name))
    yield postgres.url(name.as_string().strip('"'))
    # Otherwise a standby would copy the databases of all tests before it.
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(name))
