"""How commands travel in exo: a client gets its answer at once, the master carries the command out later, or never."""

from collections.abc import Callable

from exo_graphql.simulator.simulation import Simulation

COMMAND_SECONDS = 0.08
"""From a command's answer to its effect in the state (exo/API.md: 404 some 0.1 s after the first DELETE)."""
_HUNG_SECONDS = 0.2
"""Simulated seconds between two checks whether a hung master is back."""


class Commands:
    """Sends commands to the simulated cluster."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._cluster = simulation.cluster

    async def send(self, effect: Callable[[], object]) -> str:
        """Send a command to the master; its id. It hangs during an election, and is lost if there is no master."""
        lost = self._simulation.election.masterless
        while (hold := self._simulation.election.hold) > 0:
            await self._cluster.clock.sleep(hold)
        if not lost:
            state = self._cluster.state

            def apply() -> None:
                if self._simulation.frozen() is not None:
                    self._cluster.clock.call_later(_HUNG_SECONDS, apply)
                elif self._cluster.state is state:
                    effect()

            self._cluster.clock.call_later(COMMAND_SECONDS, apply)
        return self._cluster.new_id()

    def send_past_master(self, effect: Callable[[], None]) -> str:
        """Send a command straight to a node; its id. No election delays it (exo `api/main.py`, `_send_download`)."""
        self._cluster.clock.call_later(COMMAND_SECONDS, effect)
        return self._cluster.new_id()
