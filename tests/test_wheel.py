"""The wheel brings along all that it needs, and runs where there is no clone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from exo_graphql import __version__
from tests.support.installed import CLONE

# What is in the wheel comes from npm, and what builds it from PyPI.
pytestmark = pytest.mark.npm


def test_the_wheel_runs_outside_the_clone(wheel: Path, tmp_path: Path) -> None:
    assert wheel.name == f"exo_graphql-{__version__}-py3-none-any.whl"
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    # The dependencies are this environment's; .ci/run installs the wheel into one that is empty.
    bare = {name: value for name, value in os.environ.items() if not name.startswith("EXO_GRAPHQL_")}
    ran = subprocess.run(
        [sys.executable, str(CLONE / "tests" / "support" / "installed.py")],
        env=bare | {"PYTHONPATH": str(unpacked)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"exo-graphql {__version__} is complete in {unpacked.resolve() / 'exo_graphql'}\n"
