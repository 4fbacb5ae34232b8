"""Looks at an installation from outside the clone: `python tests/support/installed.py`, by its own Python.

Starts its `exo-graphql serve --demo` and asks for everything that the package must bring along. The standard
library alone, since an installation holds no test. Exit code 0, or an assertion that says what is missing.
"""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

import exo_graphql

CLONE = Path(__file__).resolve().parents[2]


def main() -> None:
    """Asks for all of it."""
    package = Path(exo_graphql.__file__).resolve().parent
    assert package != CLONE / "exo_graphql", "this is the clone itself"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    program = [str(Path(sys.executable).parent / "exo-graphql")]
    documents = subprocess.run([*program, "documents", "load_model"], stdout=subprocess.PIPE, timeout=120, check=True)
    assert b"fragment ErrorDetails on OperationError {" in documents.stdout
    server = subprocess.Popen([*program, "serve", "--demo", "--port", str(port)])
    url = f"http://127.0.0.1:{port}/"
    try:
        _wait(server, urljoin(url, "readyz"))
        answer = json.loads(_get(urljoin(url, "graphql?query=%7Bcluster%7BnodeCount%7D%7D"), "application/json"))
        assert answer == {"data": {"cluster": {"nodeCount": 4}}}, answer
        for path, mark in (("", "<title>"), ("graphql", "graphiql")):
            page = urljoin(url, path)
            html = _get(page, "text/html")
            assert mark in html
            assert "is not part of this installation" not in html, html
            files = re.findall(r'(?:src|href)="([^"#]+\.(?:js|css|svg))"', html)
            assert files, html
            for file in files:
                assert _get(urljoin(page, file), "*/*"), file
        health = subprocess.run(
            [*program, "--url", url, "--json", "health"], stdout=subprocess.PIPE, timeout=120, check=True
        )
        assert json.loads(health.stdout)["cluster"]["healthy"] is True
    finally:
        server.terminate()
        assert server.wait(120) == 0
    print(f"exo-graphql {exo_graphql.__version__} is complete in {package}")  # noqa: T201  # a script's result


def _get(url: str, accept: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers={"accept": accept}), timeout=60) as response:  # noqa: S310  # loopback
        text: str = response.read().decode()
        return text


def _wait(server: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            _get(url, "*/*")
        except OSError:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    main()
