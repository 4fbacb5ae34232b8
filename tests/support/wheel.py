"""The wheel of this clone, as a pytest plugin: built once, however many tests need it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that EXO_GRAPHQL_WHEEL names (.ci/run has built it for its own checks), else one built now.

    The files whose tests need it are a group of tests/support/scheduling.py: one process builds it for all of them.
    """
    given = os.environ.get("EXO_GRAPHQL_WHEEL")
    if given:
        return Path(given).resolve(strict=True)
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(CLONE)]
    subprocess.run(build, check=True, timeout=240)
    (made,) = folder.glob("*.whl")
    return made
