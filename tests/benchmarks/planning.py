"""Planning on a large cluster: `python -m tests.benchmarks.planning [topology …]`.

A server over 64 nodes that are joined as the topology says, in a process of its own. One client asks for what is hard
to plan; a bystander asks `/healthz` again and again, and notes how long the answers took. Printed for each: the time of
the answer, the bystander's latencies in milliseconds, and what was answered.
"""

import asyncio
import json
import multiprocessing
import statistics
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exo_graphql.app import build
from exo_graphql.serve import Server, server_config
from tests.support.topologies import TOPOLOGIES
from tests.support.tuning import configured
from tests.support.wide import WideExo

PORT = 52930
TIMES = 16
"""Four nodes as often: 64."""
_HEALTH = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
_PAUSE = 0.002
_LARGE = "mlx-community/GLM-5"
_LOADED = "mlx-community/Qwen3-235B-A22B-Instruct-2507-8bit"
_NO_MEMORY = "No cycles found with sufficient memory"


def _names(count: int) -> list[str]:
    """One model, spelled in as many ways."""
    return [_LOADED[: n % 40].upper() + _LOADED[n % 40 :] + " " * (n // 40) for n in range(count)]


def _placements(fields: int) -> str:
    one = f'placements(model: "{_LARGE}", unload: $unload) {{ fits reason }}'
    return "query q($unload: [String!]) { " + " ".join(f"a{number}: {one}" for number in range(fields)) + " }"


_LOAD = "mutation {{ loadModel(model: {model}, {more}) {{ operation {{ id }} error {{ code message suggestion }} }} }}"
QUESTIONS: Mapping[str, str] = {
    "nothing": "{ __typename }",
    "loadModel that cannot fit": _LOAD.format(model=json.dumps(_LARGE), more="minNodes: 1"),
    "the same on 40 nodes or more": _LOAD.format(model=json.dumps(_LARGE), more="minNodes: 40"),
    "the same, TENSOR": _LOAD.format(model=json.dumps(_LARGE), more="sharding: TENSOR"),
    "swapModels that cannot fit": f'mutation {{ swapModels(unload: ["{_LOADED}"], load: ["{_LARGE}"]) '
    "{ operation { id } error { code message suggestion } } }",
    "20 placements, one unloaded": _placements(20),
    "7 placements, 500 names each": _placements(7),
    "20 placements, 500 names each": _placements(20),
    "20 placements of what is unknown": "{ "
    + " ".join(f'a{n}: placements(model: "Qwen9-30B-A3B-4bit-{n}") {{ fits }}' for n in range(20))
    + " }",
}


class JoinedExo(WideExo):
    """64 nodes, joined by a topology; no placement that is asked for fits."""

    def __init__(self, topology: str) -> None:
        super().__init__(TIMES)
        self._topology = topology
        self.app.router.routes += [
            Route("/instance/previews", self._previews),
            Route("/instance/placement", self._placement),
        ]

    def change(self, state: dict[str, Any]) -> None:
        """With nodes whose memory differs, joined anew."""
        nodes = state["topology"]["nodes"]
        edges = next(edge for sinks in state["topology"]["connections"].values() for edge in sinks.values())
        joined: dict[str, Any] = {node: {} for node in nodes}
        for a, b in TOPOLOGIES[self._topology](len(nodes)):
            joined[nodes[a]][nodes[b]] = joined[nodes[b]][nodes[a]] = edges
        state["topology"]["connections"] = joined
        for number, node in enumerate(nodes):
            # Of 1,488 GiB a third on each ninth node, little on the others: long rings would be needed.
            free = (24 + number % 7) << 30
            state["nodeMemory"][node]["ramAvailable"]["inBytes"] = free
        super().change(state)

    async def _previews(self, _: Request) -> Response:
        previews = [
            {"sharding": sharding, "instance_meta": meta, "instance": None, "error": _NO_MEMORY}
            for sharding in ("Pipeline", "Tensor")
            for meta in ("MlxRing", "MlxJaccl")
        ]
        return Response(orjson.dumps({"previews": previews}), media_type="application/json")

    async def _placement(self, _: Request) -> Response:
        error = {"message": _NO_MEMORY, "type": "Bad Request", "param": None, "code": 400}
        return Response(orjson.dumps({"error": error}), 400, media_type="application/json")


def _serve(port: int, topology: str) -> None:
    async def serve() -> None:
        # The state is read once: what reading 8 MB again costs is not the question's doing.
        rarely = {
            "max_age": 3600,
            "normal_pause": 3600,
            "fast_pause": 3600,
            "idle_pause": 3600,
            "unseen_after": 7200,
            "still_after": 7200,
        }
        settings, tuning = configured(port=port, **rarely)
        components = build(settings, JoinedExo(topology).simulated, tuning)
        await Server(server_config(components.asgi, "127.0.0.1", port, settings), "", components.shut_down)._serve()

    asyncio.run(serve())


@contextmanager
def _server(port: int, topology: str) -> Iterator[None]:
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(port, topology), daemon=True)
    process.start()
    try:
        for _ in range(300):
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


def _ask(port: int, query: str, names: int = 1) -> tuple[float, dict[str, Any]]:
    variables = {"unload": _names(names)} if "$unload" in query else None
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"content-type": "application/json"})
    began = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=120) as response:  # noqa: S310  # loopback
            answer = response.read()
    except urllib.error.HTTPError as error:
        answer = error.read()
    return time.perf_counter() - began, json.loads(answer)


def _attack(port: int, query: str, names: int, connection: Any) -> None:
    time.sleep(0.3)
    seconds, answer = _ask(port, query, names)
    connection.send((seconds, json.dumps(answer)))


async def _watch(port: int, done: Any) -> list[float]:
    """The bystander: one kept-alive connection, one question after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    latencies = []
    after = 0
    while after < 50:
        after += done.poll()
        began = time.perf_counter()
        writer.write(_HEALTH)
        headers = await reader.readuntil(b"\r\n\r\n")
        length = int(headers.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        latencies.append(time.perf_counter() - began)
        await asyncio.sleep(_PAUSE)
    writer.close()
    return latencies


def main() -> None:
    """Prints the table."""
    spawn = multiprocessing.get_context("spawn")
    for topology in sys.argv[1:] or TOPOLOGIES:
        with _server(PORT, topology):
            _print(topology, "ms", "bystander p50", "p99", "worst", "answer")
            for name, query in QUESTIONS.items():
                ours, theirs = spawn.Pipe(duplex=False)
                attacker = spawn.Process(
                    target=_attack, args=(PORT, query, 500 if "500" in name else 1, theirs), daemon=True
                )
                attacker.start()
                latencies = sorted(1e3 * seconds for seconds in asyncio.run(_watch(PORT, ours)))
                seconds, outcome = ours.recv()
                attacker.join()
                middle, late = statistics.median(latencies), latencies[int(len(latencies) * 0.99)]
                figures = (f"{figure:.2f}" for figure in (middle, late, latencies[-1]))
                _print(name, f"{seconds * 1e3:.0f}", *figures, outcome[:110])


def _print(*cells: str) -> None:
    widths = (36, -7, -14, -8, -8, 1)
    row = (cell.ljust(width) if width > 0 else cell.rjust(-width) for cell, width in zip(cells, widths, strict=True))
    sys.stdout.write(" ".join(row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
