"""The wheel brings along all that it needs, and runs where there is no clone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from exo_graphql import __version__
from tests.installed import CLONE


def test_the_wheel_runs_outside_the_clone(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(CLONE)]
    subprocess.run(build, check=True, timeout=240)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"exo_graphql-{__version__}-py3-none-any.whl"
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    # The dependencies are this environment's; .ci/run installs the wheel into one that is empty.
    bare = {name: value for name, value in os.environ.items() if not name.startswith("EXO_GRAPHQL_")}
    ran = subprocess.run(
        [sys.executable, str(CLONE / "tests" / "installed.py")],
        env=bare | {"PYTHONPATH": str(unpacked)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"exo-graphql {__version__} is complete in {unpacked.resolve() / 'exo_graphql'}\n"
