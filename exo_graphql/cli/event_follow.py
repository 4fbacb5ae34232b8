"""`events --follow`: each event as it happens, also across interruptions, without a gap and without repetition.

After an interruption the subscription is made again with `since`, a little before the last event: the server then
sends again what it has from then on, and what was shown already is skipped.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any

from rich.text import Text

from exo_graphql.cli import interrupts
from exo_graphql.cli.client import Lost
from exo_graphql.cli.failures import from_errors
from exo_graphql.cli.session import Session
from exo_graphql.cli.tables import styled
from exo_graphql.cli.terminal import Terminal, clean
from exo_graphql.documents import document

Json = Mapping[str, Any]

# The server's wall clock may be set back between two events, by a few seconds where NTP corrects it.
MARGIN = timedelta(seconds=60)
# Events that are remembered as shown: as many as the server has in memory to send again.
SHOWN = 5_000
# The server has ended the stream because this reader was too slow: what is missing comes with the next one.
_RESUMABLE = frozenset({"EVENTS_LOST", "CLUSTER_UNAVAILABLE"})


class Position:
    """Which events were shown."""

    def __init__(self, listed: Sequence[Json]) -> None:
        """`listed` are the newest events that match, oldest first."""
        self._shown: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._last: datetime | None = None
        self._reconnected = False
        for event in listed:
            self._note(event)
        # Nothing had happened: whatever has now is new.
        self.since = listed[-1]["at"] if listed else "1970-01-01T00:00:00Z"

    def interrupted(self) -> None:
        """The connection broke; `since` is where to resume."""
        self._reconnected = self._last is not None
        if self._last is not None:
            self.since = (self._last - MARGIN).isoformat()

    def takes(self, event: Json) -> bool:
        """Whether the event was not shown yet; then it counts as shown."""
        # A server with a new store begins to number events anew.
        if (event["id"], event["at"]) in self._shown:
            self._reconnected = False
            return False
        self._note(event)
        return True

    def may_lack_some(self) -> bool:
        """Whether the first event after an interruption is a new one: the server no longer has the last one shown."""
        lacks, self._reconnected = self._reconnected, False
        return lacks

    def _note(self, event: Json) -> None:
        self._shown[event["id"], event["at"]] = None
        if len(self._shown) > SHOWN:
            self._shown.popitem(last=False)
        self._last = datetime.fromisoformat(event["at"])


def follow(session: Session, last: int, variables: Json) -> None:
    """Shows the last events, oldest first, and then each new one, until Ctrl-C. Raises `Failure`."""
    interrupts.run(_follow(session, last, variables))


async def _follow(session: Session, last: int, variables: Json) -> None:
    terminal = session.terminal
    async with session.client() as client:
        # As many as can be listed: those that are not shown count as shown, so that they are not taken for new ones.
        reply = await client.ask(document("events"), {**variables, "last": 500})
        if reply.data is None or reply.errors:
            raise from_errors(reply.errors)
        listed = reply.data["events"][::-1]
        for event in listed[-last:]:
            _show(terminal, event)
        position = Position(listed)
        resumed = {**variables, "since": position.since}
        reason = ""
        async with aclosing(client.follow(document("follow_events"), resumed, patient=True)) as messages:
            async for message in messages:
                if isinstance(message, Lost):
                    # Each try to connect fails in the same way: that is said once.
                    if message.reason != reason:
                        reason = message.reason
                        terminal.note(f"{reason} Reconnecting.")
                elif message.data is not None and not message.errors:
                    event = message.data["events"]
                    if position.takes(event):
                        if position.may_lack_some():
                            terminal.note("The server no longer has the last event above: some may be missing here.")
                        _show(terminal, event)
                    continue
                else:
                    failure = from_errors(message.errors)
                    if failure.code not in _RESUMABLE:
                        raise failure
                    terminal.note(failure.message)
                position.interrupted()
                resumed["since"] = position.since


def _show(terminal: Terminal, event: Json) -> None:
    if terminal.as_json:
        terminal.print_json(event, indent=None)
        return
    at = datetime.fromisoformat(event["at"]).astimezone()
    severity = styled(event["severity"])
    severity.pad_right(len("WARNING") - len(severity.plain))
    terminal.show(Text.assemble(f"{at:%Y-%m-%d %H:%M:%S}  ", severity, f"  {clean(event['message'])}"))
