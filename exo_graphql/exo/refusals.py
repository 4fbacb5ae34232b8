"""Why exo refuses a request: the reason in its answer, which has one of three shapes.

- `{"error": {"message": "Instance not found", "code": 404}}`: an error of its own;
- `{"detail": [{"loc": ["body", "model_id"], "msg": "Field required"}]}`: a body that it does not accept;
- plain text.
"""

import orjson

from exo_graphql.cluster.upstream import Refused

# Longer reasons are cut: a message should fit on a screen.
_REASON_LENGTH = 500


class NotFound(Refused):
    """exo does not know the id."""


def decoded(body: bytes) -> object:
    """The decoded body; None if it is not JSON."""
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value


def refusal(status: int, body: bytes) -> Refused:
    """The error for an answer with a status from 400 to 499."""
    answer = decoded(body)
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    if isinstance(message, str) and message:
        reason = _clipped(message)
        return NotFound(reason) if status == 404 else Refused(reason)
    detail = answer.get("detail") if isinstance(answer, dict) else None
    if status == 404 and detail == "Not Found":
        return Refused("This release of exo has no such call.")
    if isinstance(detail, str) and detail:
        return Refused(_clipped(detail))
    if isinstance(detail, list) and detail:
        return Refused(_clipped("; ".join(_complaint(item) for item in detail)))
    text = body[: 4 * _REASON_LENGTH].decode(errors="replace").strip()
    if answer is None and text and not text.startswith("<"):
        return Refused(_clipped(text))
    return Refused(f"exo refused without a reason (status {status}).")


def _complaint(item: object) -> str:
    """One entry of a 422's list, as `where: what`."""
    if not isinstance(item, dict):
        return str(item)
    place = item.get("loc")
    where = ".".join(str(part) for part in place) if isinstance(place, list) else ""
    return f"{where}: {item.get('msg')}" if where else str(item.get("msg"))


def _clipped(reason: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in reason).split())
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 1] + "…"
