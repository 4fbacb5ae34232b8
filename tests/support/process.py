"""The command itself, in a process of its own."""

import asyncio
import os
import re
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.running import PATIENCE

STRICT = (sys.executable, "-X", "dev", "-W", "error")
"""A Python in which a warning is an error."""


@asynccontextmanager
async def served(
    folder: Path,
    port: int = 0,
    *arguments: str,
    exo_url: str | None = None,
    seconds: float = 2 * PATIENCE,
    python: Sequence[str] = STRICT,
) -> AsyncIterator[tuple[Process, str]]:
    """The server over its demo, or over an exo, and where it answers: `127.0.0.1:PORT/graphql`.

    It is ended after `seconds`. With `forking_python` as its `python` it starts in a fifth of the time.
    """
    upstream = ("--demo",) if exo_url is None else ("--exo-url", exo_url)
    process = await asyncio.create_subprocess_exec(
        *(*python, "-c", "from exo_graphql.program import app; app()"),
        *("serve", *upstream, "--port", str(port), "--state-dir", str(folder), *arguments),
        stderr=PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("EXO_GRAPHQL_")},
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(seconds):
            async for line in process.stderr:
                if found := re.search(rb"//(127\.0\.0\.1:\d+/graphql)", line):
                    yield process, found.group(1).decode()
                    break
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
