"""Prometheus' own `promtool`, for the tests marked `promtool`."""

import shutil
import subprocess


def missing() -> str | None:
    """Why it cannot be used here; None where it can."""
    return None if shutil.which("promtool") else "no promtool (Debian's package `prometheus`)"


def promtool(*arguments: object, text: str | None = None) -> str:
    """Runs it, with `text` as its input; what it wrote. Fails where it does."""
    ran = subprocess.run(
        ["promtool", *map(str, arguments)], input=text, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr
