"""A part that can only act: it shows nothing while another server leads."""

from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack

from exo_graphql.replicas.roles import Changes


class Entered:
    """The `Part` of a context manager, which is entered while this server leads."""

    def __init__(self, part: AbstractAsyncContextManager[object] | AbstractContextManager[object]) -> None:
        self._part = part
        self._active = AsyncExitStack()

    async def follow(self) -> None:
        """See `Part`."""

    async def changed(self, changes: Changes) -> None:
        """See `Part`."""

    async def refresh(self) -> None:
        """See `Part`."""

    async def lead(self) -> None:
        """See `Part`."""
        if isinstance(self._part, AbstractAsyncContextManager):
            await self._active.enter_async_context(self._part)
        else:
            self._active.enter_context(self._part)

    async def rest(self) -> None:
        """See `Part`."""
        await self._active.aclose()
