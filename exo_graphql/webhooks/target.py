"""A URL that gets events, and which events."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit, urlunsplit

from exo_graphql.events.event import Event, EventKind, Severity

# Each has a task, a connection and a state of its own.
MAX_TARGETS = 20
_SEVERITIES = list(Severity)
_FILTERS = ("kinds", "severity")


@dataclass(frozen=True, slots=True)
class Target:
    """`url` is exactly what is requested: the URL as it was configured, without the parameters of the filter."""

    url: str
    name: str
    """Host and port, and a number where several have the same. The rest of a URL may be a secret."""
    kinds: frozenset[EventKind] | None = None
    """None for all."""
    severity: Severity = Severity.INFO
    """Only events of this severity or a worse one."""

    @property
    def id(self) -> str:
        """Under which its state is kept."""
        return sha256(self.url.encode()).hexdigest()[:16]

    def takes(self, event: Event) -> bool:
        """Whether it gets the event."""
        return (self.kinds is None or event.kind in self.kinds) and _SEVERITIES.index(
            event.severity
        ) >= _SEVERITIES.index(self.severity)


def targets(urls: Sequence[str]) -> tuple[Target, ...]:
    """The targets of the URLs as they are configured, such as `http://ha.local:8123/api/webhook/x?kinds=MODEL_LOST`.

    The parameters `kinds` and `severity` are the filter. All others are the receiver's, and sent as they are, byte for
    byte; so is one that is written otherwise, such as `%6Binds`. Raises ValueError, fit for the user.
    """
    if len(urls) > MAX_TARGETS:
        raise ValueError(f"{len(urls)} webhooks are more than {MAX_TARGETS}")
    found: list[Target] = []
    for url in urls:
        target = _target(url)
        if any(target.url == other.url for other in found):
            raise ValueError(f"the webhook {target.name} is named twice; give all of its kinds in one URL")
        number = 1 + sum(re.fullmatch(rf"{re.escape(target.name)}( #\d+)?", other.name) is not None for other in found)
        name = target.name if number == 1 else f"{target.name} #{number}"
        found.append(Target(target.url, name, target.kinds, target.severity))
    return tuple(found)


def _target(url: str) -> Target:
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    name = f"{host}:{parts.port}" if parts.port else f"{host}"
    given = parts.query.split("&") if parts.query else []
    filters = [each.partition("=") for each in given if each.partition("=")[0] in _FILTERS]
    kept = "&".join(each for each in given if each.partition("=")[0] not in _FILTERS)
    kinds: set[EventKind] = set()
    severity = Severity.INFO
    for parameter, _, value in filters:
        if parameter == "severity":
            severity = _severity(value)
        else:
            kinds |= {_kind(each) for each in value.replace("%2C", ",").replace("%2c", ",").split(",")}
    selects = any(parameter == "kinds" for parameter, _, _ in filters)
    # A fragment is never sent.
    sent = urlunsplit((parts.scheme, parts.netloc, parts.path, kept, ""))
    return Target(sent, name, frozenset(kinds) if selects else None, severity)


def _kind(text: str) -> EventKind:
    name = text.strip().upper()
    if name in EventKind.__members__:
        return EventKind[name]
    near = difflib.get_close_matches(name, EventKind.__members__, n=1)
    choices = near[0] if near else ", ".join(EventKind.__members__)
    raise ValueError(f"{text!r} is no kind of event; write {choices}")


def _severity(text: str) -> Severity:
    name = text.strip().upper()
    if name in Severity.__members__:
        return Severity[name]
    raise ValueError(f"{text!r} is no severity; write {', '.join(Severity.__members__)}")
