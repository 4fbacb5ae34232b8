"""A subscription's data, with word of whatever keeps them from coming."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from exo_graphql.cli.client import Data, Lost, Reply
from exo_graphql.cli.failures import from_errors

# A server answers at once, unless it waits for exo itself.
_QUIET_SECONDS = 2.0


async def newest(messages: AsyncGenerator[Reply | Lost], lost: Callable[[str], None]) -> AsyncGenerator[Data]:
    """The data, message by message. `lost` is told, in a sentence, of a broken connection and of a server that has
    nothing to tell yet. Raises `Failure` for an error that waiting does not mend.
    """
    loop = asyncio.get_running_loop()
    quiet = loop.call_later(_QUIET_SECONDS, lost, "The server has no picture of the cluster yet. Waiting for it.")
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
