"""The worst that passes: `python -m tests.benchmarks.worst`.

A server over 32 nodes with 120 models each, in its own process, at default limits. One client sends expensive
documents; a bystander sends a small query again and again, and notes how long the longest answer took. Printed for
each: the estimated cost or the refusal, the time and size of the answer, and the bystander's latencies in milliseconds.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from exo_graphql.app import build
from exo_graphql.serve import Server, server_config
from tests.benchmarks.attacks import ATTACKS
from tests.support.tuning import configured
from tests.support.wide import WideExo

PORT = 52910
_BYSTANDER = json.dumps({"query": "{ cluster { nodeCount } }"}).encode()
_PAUSE = 0.002


def _serve(port: int, moving: bool) -> None:
    async def serve() -> None:
        # exo's state is read once: reading 4 MB of it again costs time of its own, which is not a request's doing.
        rarely = {"max_age": 3600, "normal_pause": 3600, "fast_pause": 3600, "idle_pause": 3600, "unseen_after": 7200}
        settings, tuning = configured(port=port, **({} if moving else rarely))
        components = build(settings, WideExo().simulated, tuning)
        await Server(server_config(components.asgi, "127.0.0.1", port, settings), "", components.shut_down)._serve()

    asyncio.run(serve())


@contextmanager
def _server(port: int, moving: bool) -> Iterator[None]:
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(port, moving), daemon=True)
    process.start()
    try:
        for _ in range(200):
            try:
                if "errors" not in _ask(port, "{ cluster { nodeCount } }")[1]:
                    break
            except OSError:
                pass
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.join(10)


def _ask(port: int, query: str) -> tuple[float, dict[str, Any], int]:
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"content-type": "application/json"})
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=120) as response:  # noqa: S310  # as above
        answer = response.read()
    return time.perf_counter() - began, json.loads(answer), len(answer)


def _attack(port: int, query: str, connection: Any) -> None:
    time.sleep(0.3)
    seconds, answer, size = _ask(port, query)
    errors = answer.get("errors")
    outcome = "answered" if not errors else str(errors[0]["extensions"].get("limit") or errors[0]["message"])[:44]
    connection.send((seconds, size, outcome))


async def _watch(port: int, done: Any) -> list[float]:
    """The bystander: one kept-alive connection, one small question after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = (
        b"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(_BYSTANDER), _BYSTANDER)
    )
    latencies = []
    after = 0
    while after < 50:
        after += done.poll()
        began = time.perf_counter()
        writer.write(request)
        headers = await reader.readuntil(b"\r\n\r\n")
        length = int(headers.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        latencies.append(time.perf_counter() - began)
        await asyncio.sleep(_PAUSE)
    writer.close()
    return latencies


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--moving", action="store_true", help="exo's state is read anew all the time, as usual")
    given = parser.parse_args()
    port = given.port
    spawn = multiprocessing.get_context("spawn")
    with _server(port, given.moving):
        _print("what", "ms", "bytes", "bystander p50", "p99", "worst", "outcome")
        for name, query in {"nothing": "{ __typename }", **ATTACKS}.items():
            ours, theirs = spawn.Pipe(duplex=False)
            attacker = spawn.Process(target=_attack, args=(port, query, theirs), daemon=True)
            attacker.start()
            latencies = sorted(1e3 * seconds for seconds in asyncio.run(_watch(port, ours)))
            seconds, size, outcome = ours.recv()
            attacker.join()
            middle, late = statistics.median(latencies), latencies[int(len(latencies) * 0.99)]
            figures = (f"{figure:.2f}" for figure in (middle, late, latencies[-1]))
            _print(name, f"{seconds * 1e3:.1f}", str(size), *figures, outcome)


def _print(*cells: str) -> None:
    widths = (34, -9, -10, -14, -8, -8, 1)
    row = (cell.ljust(width) if width > 0 else cell.rjust(-width) for cell, width in zip(cells, widths, strict=True))
    sys.stdout.write(" ".join(row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
