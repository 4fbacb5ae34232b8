"""HAProxy and nginx, which check the README's configurations, for the tests marked `proxies`."""

import os
import re
import shutil
import subprocess
from pathlib import Path

# Debian keeps them where only root's PATH leads.
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"


def missing() -> str | None:
    """Why they cannot be used here; None where they can."""
    lacking = [name for name in ("haproxy", "nginx") if shutil.which(name, path=_PATH) is None]
    return f"no {' and no '.join(lacking)}" if lacking else None


def check(text: str, file: Path, program: str, *arguments: str) -> None:
    """Has a program check its configuration, on this machine's addresses and ports. Fails where it refuses it."""
    own = re.sub(r"mini-\d:", "127.0.0.1:", text).replace(":80\n", ":52480\n").replace("listen 80;", "listen 52480;")
    file.write_text(own, encoding="utf-8")
    command = [shutil.which(program, path=_PATH) or program, *arguments, str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
