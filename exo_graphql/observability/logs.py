"""The log: lines for people, or JSON objects for machines. One line per event, on standard error."""

import logging
import sys
from datetime import UTC, datetime

import orjson

# The attributes that every record has. Any other was given with `extra` and belongs into the object.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time (UTC), level, logger, message, the exception if any, and the `extra` values."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        line |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        return orjson.dumps(line, default=str).decode()


def configure(log_format: str = "console", level: str = "info") -> None:
    """Sets up the process's log: `console` lines for people, or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    if log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # They log a line for each request to exo: one every second, day and night.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    # It logs two lines for each request to /mcp: clients could fill the log.
    logging.getLogger("mcp").setLevel(logging.WARNING)
    # It warns of each query that could not be cancelled on a connection that is cut; the store says what that means.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
