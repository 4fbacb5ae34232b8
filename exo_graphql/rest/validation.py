"""Reads the body of a request: which fields it may have, and what each may hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from exo_graphql.engine.requests import BOM, BadRequest


@dataclass(frozen=True, slots=True)
class BodyField:
    """One field of a body."""

    name: str
    kind: type[str] | type[int]
    description: str
    default: str | int | None = None
    """None: the field is required."""
    choices: tuple[str, ...] = ()


def variables_of(body: bytes, fields: Sequence[BodyField]) -> dict[str, object]:
    """The document's variables. Raises `BadRequest` (422) that names the field; unknown fields are ignored."""
    try:
        given = orjson.loads(body.removeprefix(BOM))
    except orjson.JSONDecodeError as error:
        raise BadRequest("The body is not JSON.", 422) from error
    if not isinstance(given, dict):
        raise BadRequest(f"The body must be an object with {', '.join(field.name for field in fields)}.", 422)
    return {field.name: _variable(field, given) for field in fields}


def _variable(field: BodyField, given: Mapping[str, object]) -> object:
    value = given.get(field.name, field.default)
    if value is None and field.default is None:
        raise BadRequest(f"{field.name} is missing: {field.description[0].lower()}{field.description[1:]}", 422)
    # JSON's true is an int for Python.
    if not isinstance(value, field.kind) or isinstance(value, bool):
        raise BadRequest(f"{field.name} must be {'a string' if field.kind is str else 'a whole number'}.", 422)
    if field.choices:
        if value not in field.choices:
            raise BadRequest(f"{field.name} must be one of {', '.join(field.choices)}.", 422)
        return str(value).upper()
    return value
