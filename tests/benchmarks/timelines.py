"""How soon a change in a real exo is seen over a websocket: every recorded timeline, at its real pace.

    python -m tests.benchmarks.timelines [--subscribers 500] [NAME ...]

Each is played twice behind a server that reads it with exo's latency: before one subscriber, and before many. Printed
for each: the phases seen, how long after a change could first be read it was there, how much of that the server itself
took, and how often exo was asked. All of it runs in one process, so the many clients' own work counts, too.
"""

import argparse
import asyncio
from statistics import median, quantiles

from tests.support.replay import COST, Replay, replay

MODELS = {
    "10-place-load-ready": "rig/tiny-llama-a",
    "20-chat": "rig/tiny-llama-a",
    "21-double-place": "rig/tiny-llama-a",
    "23-swap": "rig/tiny-qwen-b",
    "40-download-then-load": "rig/dl-slow",
    "44-download-failed": "rig/dl-fail",
    "50-runner-failed": "rig/tiny-broken",
    "61-two-node-pipeline": "rig/tiny-llama-a",
    "62-two-node-chat": "rig/tiny-llama-a",
    "70-kill9-worker-n1": "rig/tiny-llama-a",
    "72-kill9-master-n3": "rig/tiny-llama-a",
}


def _told(played: Replay) -> str:
    delays, own = played.delays, played.own_delays
    if not delays:
        return "nothing changed"
    slowest = quantiles(delays, n=20)[-1] if len(delays) > 1 else delays[0]
    phases = dict.fromkeys(phase for phase, _ in played.watches[0].statuses)
    repeated = sum(a == b for watch in played.watches for a, b in zip(watch.statuses, watch.statuses[1:], strict=False))
    return (
        f"delay p50 {median(delays) * 1000:.0f} ms, p95 {slowest * 1000:.0f} ms; own p50 {median(own) * 1000:.1f} ms; "
        f"{played.reads} reads, {played.executions} executions, {len(delays)} messages, {repeated} repeated; "
        f"{' '.join(phases)}"
    )


async def main() -> None:
    """Plays them, one after the other, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help="recordings; all of them if none is named")
    parser.add_argument("--subscribers", type=int, default=500)
    parser.add_argument("--cost", type=float, default=COST, help="seconds that a whole state takes")
    arguments = parser.parse_args()
    print(f"GET /state takes {arguments.cost * 1000:.0f} ms, and its content is as old when it arrives.")  # noqa: T201
    every: list[float] = []
    for name in arguments.names or MODELS:
        for count in (1, arguments.subscribers):
            played = await replay(
                name, MODELS[name], subscribers=count, connections=min(count, 50), cost=arguments.cost
            )
            print(f"{name}, {count} subscribers: {_told(played)}", flush=True)  # noqa: T201
            every += played.delays if count == 1 else []
    print(f"all changes, one subscriber: p50 {median(every) * 1000:.0f} ms of {len(every)}")  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
