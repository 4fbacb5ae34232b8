"""The baseline, served: `python -m tests.benchmarks.served PORT EXO_URL`.

It reads exo by this project's own feed, so that both sides have the same picture at the same cost.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.exo.feed import Feed
from exo_graphql.exo.pace import FeedRules
from exo_graphql.run import server_config
from tests.benchmarks.baseline import application

PACE = 0.25
"""Seconds between two states."""


def main(port: int, exo_url: str) -> None:
    """Serves it until the process ends."""
    feed = Feed((exo_url,), rules=FeedRules(rest_pause=PACE, rest_share=0.9, idle_pause=PACE))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with feed:
            await feed.fresh(0.0)
            yield

    def newest() -> Snapshot:
        assert feed.snapshot is not None
        return feed.snapshot

    app = application(newest)
    app.router.lifespan_context = lifespan
    asyncio.run(uvicorn.Server(server_config(app, "127.0.0.1", port)).serve())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
