"""The data of a subscription, and the reason when none arrive."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from exo_graphql.cli.client import Data, Lost, Reply
from exo_graphql.cli.failures import from_errors

# A server answers immediately unless it waits for exo itself.
_QUIET_SECONDS = 2.0


async def newest(messages: AsyncGenerator[Reply | Lost], lost: Callable[[str], None]) -> AsyncGenerator[Data]:
    """The data, message by message. `lost` is called with a sentence when the connection breaks, and when the server
    has no data yet. Raises `Failure` for an error that does not pass by itself.
    """
    loop = asyncio.get_running_loop()
    quiet = loop.call_later(_QUIET_SECONDS, lost, "The server has not received a state from exo yet. Waiting for it.")
    try:
        async with aclosing(messages):
            async for message in messages:
                quiet.cancel()
                if isinstance(message, Lost):
                    lost(f"{message.reason} Reconnecting.")
                elif message.data is not None and not message.errors:
                    yield message.data
                else:
                    failure = from_errors(message.errors)
                    if failure.code != "CLUSTER_UNAVAILABLE":
                        raise failure
                    lost(failure.message)
    finally:
        quiet.cancel()
