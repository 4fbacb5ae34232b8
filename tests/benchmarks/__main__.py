"""What GraphQL costs here, against what a user would pick instead.

    python -m tests.benchmarks [--quick] [--json FILE] [--only PART]

Two cores are needed, one for what is measured and one for the load, and `wrk`. Nothing else should run meanwhile.
"""

import argparse
import asyncio
import json
import logging
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks import bystander, fanout, history, idle, ingest, push, scenario, throughput, upstream, watchers
from tests.benchmarks.figures import Row, table


def main() -> None:
    """Runs the rows that were asked for, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter turns: for trying, not for telling")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there")
    parser.add_argument(
        "--only",
        action="append",
        metavar="PART",
        help="throughput, fanout, watchers, push, upstream, ingest, bystander, history, idle",
    )
    arguments = parser.parse_args()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    quick = arguments.quick
    bodies = asyncio.run(scenario.bodies())
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as directory:
        states = Path(directory) / "states"
        states.write_bytes(b"\n".join(bodies))
        parts: dict[str, Callable[[], list[Row]]] = {
            "throughput": lambda: throughput.measure(states, 2 if quick else 5, 1 if quick else 3),
            "fanout": lambda: [fanout.measure(states, 5 if quick else 20)],
            "watchers": lambda: watchers.measure(states, 5 if quick else 20),
            "push": lambda: [push.measure(3 if quick else 11)],
            "upstream": lambda: [upstream.measure(states, 5 if quick else 20)],
            "ingest": lambda: ingest.measure(bodies, 3 if quick else 8),
            "bystander": lambda: [bystander.measure(bodies, Path(directory), 5 if quick else 20)],
            "history": lambda: history.measure(bodies),
            "idle": lambda: [idle.measure(1 if quick else 5)],
        }
        for name, part in parts.items():
            if not arguments.only or name in arguments.only:
                sys.stderr.write(f"{name} …\n")
                rows += part()
    machine = f"Taken on {os.cpu_count()} cores of {_processor()}, with Python {platform.python_version()}."
    sys.stdout.write(f"{machine}\n\n{table(rows)}\n")
    if arguments.json:
        written = [asdict(row) for row in rows]
        arguments.json.write_text(json.dumps({"machine": machine, "rows": written}, indent=2) + "\n")


def _processor() -> str:
    """What Linux calls it."""
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found.group(1) if found else platform.machine()


if __name__ == "__main__":
    main()
