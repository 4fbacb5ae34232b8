"""An exo that does nothing but answer, from memory: its states follow each other at a given pace.

Run as `python -m tests.benchmarks.replay PORT SECONDS FILE`. `GET /count` answers how many states were requested.
"""

import sys
import time
from pathlib import Path

import orjson
from starlette.types import Receive, Scope, Send

from exo_graphql.serve import block_on, serve_application


class Replay:
    """The ASGI application."""

    def __init__(self, states: list[bytes], seconds: float) -> None:
        self._states = states
        self._seconds = seconds
        self._count = 0
        self._node = orjson.dumps(orjson.loads(states[0])["topology"]["nodes"][0])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        del receive
        if scope["type"] != "http":
            return
        body = self._body(scope["path"])
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _body(self, path: str) -> bytes:
        match path:
            case "/state":
                self._count += 1
                turn = int(time.monotonic() / self._seconds) if self._seconds else 0
                return self._states[turn % len(self._states)]
            case "/node_id":
                return self._node
            case "/count":
                return str(self._count).encode()
            case _:
                return b'{"data": []}'


def main(port: int, seconds: float, file: Path) -> None:
    """Serves the states that `file` holds, one a line."""
    block_on(serve_application(Replay(file.read_bytes().splitlines(), seconds), "127.0.0.1", port))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))
