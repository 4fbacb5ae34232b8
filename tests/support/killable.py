"""A process to be killed: swaps against an exo over HTTP, reported on standard output step by step.

    python -m tests.support.killable URL JOURNAL [UNLOAD LOAD]

With models it starts the swap; without, it continues what the journal holds. It ends when no operation is active.
"""

import asyncio
import sys
from pathlib import Path

from exo_graphql.exo.poller import Poller
from exo_graphql.operations import OperationRules, Operations
from exo_graphql.storage.sqlite import SQLiteStore

# The exo of the tests runs 20 times as fast as a real one, and so memory is given a twentieth of the time to come back.
RULES = OperationRules(memory_seconds=1.0)


async def main(url: str, journal: Path, models: list[str]) -> None:
    """Prints `STEP STATE` at each change, and the verdict."""
    store = SQLiteStore(journal)
    await store.open()
    async with Poller([url]) as poller, Operations(poller, store, RULES) as ops:
        changed = asyncio.Event()

        def report() -> None:
            for operation in ops.all():
                under_way = [step for step in operation.steps if step.state.value == "RUNNING"]
                sys.stdout.write(f"{operation.state.value} {' '.join(step.name for step in under_way)}\n")
            sys.stdout.flush()
            changed.set()

        ops.listen(report)
        if models:
            unload, load = models
            sys.stdout.write(f"{await ops.swap([unload], [load])}\n")
        while ops.all(active=True):
            changed.clear()
            await changed.wait()
        report()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
