"""Load by `wrk`: one thread, keep-alive, on a core of its own."""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.processes import LOAD_CORE, pin

CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a path: by GET, or a query with its variables. Each `@@` becomes a number, new each time."""

    path: str
    query: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def script(self) -> str:
        """For wrk, in Lua."""
        if self.query is None:
            return ""
        body = json.dumps({"query": self.query, "variables": self.variables})
        pieces = ", ".join(json.dumps(piece) for piece in body.split("@@"))
        return f"""
            wrk.method = "POST"
            wrk.headers["content-type"] = "application/json"
            local pieces = {{{pieces}}}
            local count = 0
            request = function()
                count = count + 1
                return wrk.format(nil, nil, nil, table.concat(pieces, tostring(count)))
            end
        """


def requests_per_second(load: Load, port: int, seconds: float, connections: int = CONNECTIONS) -> float:
    """What the server answers, all of it well: anything but 200 is an error."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise RuntimeError("wrk is needed (Debian: apt-get install wrk)")
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "load.lua"
        script.write_text(load.script)
        output = subprocess.run(
            [
                wrk,
                "-t1",
                f"-c{connections}",
                f"-d{seconds:g}s",
                "-s",
                str(script),
                f"http://127.0.0.1:{port}{load.path}",
            ],
            capture_output=True,
            text=True,
            check=True,
            preexec_fn=lambda: pin(LOAD_CORE),
        ).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(output)
    found = re.search(r"Requests/sec:\s+([0-9.]+)", output)
    if found is None:
        raise RuntimeError(output)
    return float(found.group(1))
