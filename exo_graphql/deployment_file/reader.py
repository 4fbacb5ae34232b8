"""Text to tables. An invalid file is refused as a whole, with the line, the key and what to write instead."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from exo_graphql.deployment_file.arguments import INT_RANGE, KEYS, NOT_KEYS, WINDOW_KEYS, Key, Kind, Table
from exo_graphql.deployment_file.line_numbers import Path, line_numbers

ROOT = "deployments"
MAX_BYTES = 4_000_000
"""Of a file: a thousand deployments with 32 windows each have 3 MB."""
_SYNTAX = re.compile(r"(?P<message>.*?) \(at (?:line (?P<line>\d+), column \d+|end of document)\)", re.DOTALL)
_TWICE = re.compile(r"Cannot (?:declare \((?P<keys>.*)\) twice|overwrite a value)")


class InvalidFile(ValueError):
    """A file that cannot be used.

    `line` is from 1, None where the whole file is invalid; `key` is a dotted path, "" where no key is to blame.
    """

    def __init__(self, message: str, suggestion: str, line: int | None = None, key: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion
        self.line = line
        self.key = key

    def __str__(self) -> str:
        """In a sentence or two: `line 3, deployments.night.modle: There is no such key. Write model.`."""
        where = ", ".join(filter(None, (f"line {self.line}" if self.line else "", self.key)))
        return " ".join(filter(None, (f"{where}:" if where else "", self.message, self.suggestion)))


@dataclass(frozen=True)
class DeploymentFile:
    """A file that is valid as far as it can be checked without a cluster."""

    tables: tuple[Table, ...]
    text: str

    @cached_property
    def _lines(self) -> dict[Path, int]:
        return line_numbers(self.text)

    def error(self, path: Path, message: str, suggestion: str) -> InvalidFile:
        """An error about the key at this path, below `deployments`."""
        whole = (ROOT, *path)
        return InvalidFile(message, suggestion, _line(self._lines, whole), dotted(whole))


def read(data: bytes) -> DeploymentFile:
    """The tables in their order. Raises `InvalidFile`."""
    if len(data) > MAX_BYTES:
        raise InvalidFile(f"The file has {len(data):,} bytes.", f"Use {MAX_BYTES:,} at most.")
    try:
        text = data.decode("utf-8-sig")  # some editors write a byte order mark
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidFile("This is not UTF-8.", "Save the file in the encoding UTF-8.", line) from None
    # tomllib takes \r\n and \n alone for the end of a line.
    text = text.replace("\r\n", "\n")
    if not text.strip():
        # For example a file that is being written, or the output of a command that failed.
        raise InvalidFile("The file is empty.", f"To declare no deployment, write [{ROOT}].")
    try:
        parsed = tomllib.loads(text)
    except RecursionError:
        raise InvalidFile("It is nested too deeply.", "No key needs more than an array of tables.") from None
    except ValueError as error:  # tomllib's own, or a number of thousands of digits
        raise _syntax(str(error), text.splitlines()) from None
    return _Check(text).file(parsed)


def dotted(path: Path) -> str:
    """A path as a person writes it: deployments.night.schedule[0].cron."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if re.fullmatch(r"[\w-]+", key) else f'."{key}"'
    return text.removeprefix(".")


def _syntax(error: str, lines: Sequence[str]) -> InvalidFile:
    found = _SYNTAX.fullmatch(error)
    line = int(found["line"]) if found and found["line"] else len(lines)
    message = found["message"] if found else error
    twice = _TWICE.match(message)
    if twice is None:
        return InvalidFile(
            f"This is not TOML: {message}.", f'For example: [{ROOT}.night], below it model = "NAME".', line
        )
    keys = re.findall(r"'([^']*)'", twice["keys"] or "") or [lines[line - 1].partition("=")[0].strip()]
    return InvalidFile("This is declared twice.", "Leave one of the two out.", line, dotted(tuple(keys)))


class _Check:
    """Checks one file. The line numbers are computed only where something is invalid."""

    def __init__(self, text: str) -> None:
        self._text = text

    def file(self, parsed: Mapping[str, Any]) -> DeploymentFile:
        for key in parsed:
            if key != ROOT:
                close = f"Write [{ROOT}.NAME]." if not isinstance(parsed[key], dict) else _instead(key, parsed[key])
                raise self._invalid((key,), f"Only {ROOT} can be declared here.", close)
        tables = parsed.get(ROOT, {})
        if not isinstance(tables, dict):
            raise self._invalid((ROOT,), f"{ROOT} must be a table.", f"Write [{ROOT}.NAME] for each deployment.")
        return DeploymentFile(tuple(self._table(name, table) for name, table in tables.items()), self._text)

    def _table(self, name: str, table: Any) -> Table:
        path = (ROOT, name)
        if not isinstance(table, dict):
            raise self._invalid(path, "A deployment must be a table.", f"Write [{ROOT}.NAME], and its keys below.")
        return Table(name, self._values(path, table, KEYS))

    def _values(self, path: Path, given: Mapping[str, Any], keys: Sequence[Key]) -> dict[str, Any]:
        by_name = {key.name: key for key in keys}
        for name in given:
            if name not in by_name:
                raise self._invalid((*path, name), "There is no such key.", _similar(name, list(by_name)))
        for key in keys:
            if key.required and key.name not in given:
                raise self._invalid(path, f"{key.name} is missing.", f"Give {key.name}, {key.kind.value}.")
        return {name: self._value((*path, name), value, by_name[name]) for name, value in given.items()}

    def _value(self, path: Path, value: Any, key: Key) -> Any:
        if not _is(key.kind, value):
            raise self._invalid(path, f"{_shown(value)} is not {key.kind.value}.", f"Give {key.name} {key.kind.value}.")
        if key.choices:
            if value.upper() not in key.choices:
                raise self._invalid(path, f"{value!r} is not one of its values.", f"Use {', '.join(key.choices)}.")
            return value.upper()
        if key.kind is Kind.WINDOWS:
            return [self._values((*path, place), window, WINDOW_KEYS) for place, window in enumerate(value)]
        if key.kind is Kind.INTEGER and value not in INT_RANGE:
            raise self._invalid(path, f"{value} is out of range.", "Use a smaller number.")
        return value

    def _invalid(self, path: Path, message: str, suggestion: str) -> InvalidFile:
        return InvalidFile(message, suggestion, _line(line_numbers(self._text), path), dotted(path))


def _line(lines: Mapping[Path, int], path: Path) -> int | None:
    """The line of a path, or of the nearest one above it that the file writes out."""
    while path:
        if path in lines:
            return lines[path]
        # `[deployments.a]` names the table `deployments`, which has no line of its own.
        below = [line for known, line in lines.items() if known[: len(path)] == path]
        if below:
            return min(below)
        path = path[:-1]
    return None


def _is(kind: Kind, value: Any) -> bool:
    match kind:
        case Kind.STRING:
            return isinstance(value, str)
        case Kind.BOOLEAN:
            return isinstance(value, bool)
        case Kind.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool)
        case Kind.STRINGS:
            return isinstance(value, list) and all(isinstance(element, str) for element in value)
        case Kind.WINDOWS:
            return isinstance(value, list) and all(isinstance(element, dict) for element in value)


def _shown(value: Any) -> str:
    """A value in a message, in TOML's words."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "A table" if isinstance(value, dict) else "An array"
    return repr(value) if isinstance(value, str | int | float) else str(value)


def _similar(name: str, known: list[str]) -> str:
    if name in NOT_KEYS:
        return NOT_KEYS[name]
    bare = {re.sub(r"[_-]", "", each).lower(): each for each in known}
    close = get_close_matches(re.sub(r"[_-]", "", name).lower(), bare, n=1)
    return f"Write {bare[close[0]]}." if close else f"The keys are {', '.join(known)}."


def _instead(key: str, value: Mapping[str, Any]) -> str:
    """`[deployment.night]` and `[night]` are the usual mistakes."""
    if get_close_matches(key.lower(), [ROOT], n=1):
        inner = next(iter(value), "NAME")
        return f"Write [{dotted((ROOT, inner))}]."
    return f"Write [{dotted((ROOT, key))}]."
