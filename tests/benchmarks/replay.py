"""An exo that does nothing but answer, from memory: its states follow each other at a given pace.

After the last state comes the first again, with a later time and a higher index of events: a state with an older index
would be one of a node that lags behind, and the server would go on answering from the newest one that it has.

Run as `python -m tests.benchmarks.replay PORT SECONDS FILE`. `GET /count` answers how many states were requested.
"""

import re
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import orjson
from starlette.types import Receive, Scope, Send

from exo_graphql.serve import block_on, serve_application

_INDEX = re.compile(rb'(?<="lastEventAppliedIdx":)\d+')
_TIME = re.compile(rb'(?<=")\d{4}-\d\d-\d\dT[\d:.]+Z(?=")')


class Replay:
    """The ASGI application."""

    def __init__(self, states: list[bytes], seconds: float) -> None:
        self._states = states
        self._seconds = seconds
        self._count = 0
        self._began = time.monotonic()
        self._turn: tuple[int, bytes] = -1, b""
        """The number of the newest state, and the state as it is served."""
        self._first_index, last_index = (int(_INDEX.findall(states[n])[0]) for n in (0, -1))
        self._index_step = (last_index - self._first_index) // max(len(states) - 1, 1) + 1
        self._first_time = datetime.fromisoformat(_TIME.findall(states[0])[0].decode())
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

    def _state(self, turn: int) -> bytes:
        """The state of that number: every one is newer than the one before."""
        index = self._first_index + turn * self._index_step
        seen = self._first_time + timedelta(seconds=turn * self._seconds)
        body = _INDEX.sub(str(index).encode(), self._states[turn % len(self._states)])
        return _TIME.sub(seen.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode(), body)

    def _body(self, path: str) -> bytes:
        match path:
            case "/state":
                self._count += 1
                turn = int((time.monotonic() - self._began) / self._seconds) if self._seconds else 0
                if turn != self._turn[0]:
                    self._turn = turn, self._state(turn)
                return self._turn[1]
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
