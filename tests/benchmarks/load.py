"""Load by `wrk`: one thread, keep-alive, on a core of its own."""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.processes import LOAD_CORE, pin

CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Query:
    """A text, and what is sent with it. Each `@@` becomes a number, new each time."""

    text: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation_name: str | None = None

    @property
    def body(self) -> str:
        """What is posted."""
        return json.dumps({"query": self.text, "variables": self.variables, "operationName": self.operation_name})


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a path: by GET, or queries in turn."""

    path: str
    queries: tuple[Query, ...] = ()

    @property
    def script(self) -> str:
        """For wrk, in Lua."""
        if not self.queries:
            return ""
        bodies = ", ".join(f"{{{', '.join(map(json.dumps, query.body.split('@@')))}}}" for query in self.queries)
        return f"""
            wrk.method = "POST"
            wrk.headers["content-type"] = "application/json"
            local bodies = {{{bodies}}}
            local count = 0
            request = function()
                count = count + 1
                return wrk.format(nil, nil, nil, table.concat(bodies[count % #bodies + 1], tostring(count)))
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
