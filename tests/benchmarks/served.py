"""The baseline, served: `python -m tests.benchmarks.served PORT EXO_URL`.

It is run as this project's own server is, and reads exo by the same poller: both sides have the same snapshot, loop and
sockets at the same cost.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.exo.poller import Poller
from exo_graphql.serve import block_on, serve_application
from tests.benchmarks import bare
from tests.benchmarks.baseline import application
from tests.benchmarks.ours import rules


def main(port: int, exo_url: str) -> None:
    """Serves it until the process ends."""
    poller = Poller((exo_url,), rules=rules())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with poller:
            await poller.fresh(0.0)
            yield

    def newest() -> Snapshot:
        assert poller.snapshot is not None
        return poller.snapshot

    app = application(newest)
    app.router.lifespan_context = lifespan
    block_on(serve_application(bare.application(newest, app), "127.0.0.1", port))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
