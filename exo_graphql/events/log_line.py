"""An event as a line of the server's log."""

import logging

from exo_graphql.events.event import Event, Severity

LEVELS = {Severity.INFO: logging.INFO, Severity.WARNING: logging.WARNING, Severity.ERROR: logging.ERROR}


def log_keys(event: Event) -> dict[str, str | None]:
    """What a log line of an event holds besides its message: always these keys, for those who filter by them."""
    return {
        "event": event.kind.value,
        "event_id": event.id,
        "severity": event.severity.value,
        "model": event.model_id,
        "node": event.node_name,
        "node_id": event.node_id,
        "operation": event.operation_id,
        "deployment": event.deployment,
        "by": event.by,
    }
