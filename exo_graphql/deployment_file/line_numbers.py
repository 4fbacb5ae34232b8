"""On which line of a valid TOML file a key is: tomllib itself reports lines only for errors of syntax.

A valid file is a sequence of statements (`key = value`, `[table]`, `[[array]]`), and each of them is valid TOML by
itself. So lines are added to a statement until tomllib can parse it.
"""

import tomllib
from typing import Any

Path = tuple[str | int, ...]


def line_numbers(text: str) -> dict[Path, int]:
    """The line (from 1) of each table, key and element of an array of tables, by its path.

    >>> line_numbers('[deployments.a]\\nmodel = "m"\\n')
    {('deployments', 'a'): 1, ('deployments', 'a', 'model'): 2}
    """
    found: dict[Path, int] = {}
    table: Path = ()
    lines = text.splitlines()
    start = 0
    while start < len(lines):
        end, parsed = _statement(lines, start)
        head = lines[start].lstrip()
        if head.startswith("["):
            table = _opened(_keys(parsed), found, is_array=head.startswith("[["))
            found.setdefault(table, start + 1)
        elif parsed:
            _add(found, table, parsed, lines[start:end], start + 1)
        start = end
    return found


def _statement(lines: list[str], start: int) -> tuple[int, dict[str, Any]]:
    """The line after the statement that begins at `start`, and the parsed statement."""
    for end in range(start + 1, len(lines) + 1):
        try:
            return end, tomllib.loads("\n".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            continue  # a string or an array that continues on the next line
    return len(lines), {}


def _keys(parsed: dict[str, Any]) -> Path:
    """The keys of a header: `[a.b]` is {"a": {"b": {}}}, `[[a.b]]` is {"a": {"b": [{}]}}."""
    keys: list[str] = []
    value: Any = parsed
    while isinstance(value, dict) and value:
        (key, value), *_ = value.items()
        keys.append(key)
    return tuple(keys)


def _opened(keys: Path, found: dict[Path, int], *, is_array: bool) -> Path:
    """The path of a header's table: a key that names an array of tables leads to its last element."""
    path: Path = ()
    for place, key in enumerate(keys):
        path = (*path, key)
        count = sum(1 for known in found if known[:-1] == path and isinstance(known[-1], int))
        if is_array and place == len(keys) - 1:
            path = (*path, count)
        elif count:
            path = (*path, count - 1)
    return path


def _add(found: dict[Path, int], table: Path, parsed: dict[str, Any], lines: list[str], first: int) -> None:
    """Adds the keys of `key = value`, of dotted keys and of inline tables."""
    for key, value in parsed.items():
        path = (*table, key)
        found.setdefault(path, first)
        if isinstance(value, dict):
            _add(found, path, value, lines, first)
        elif isinstance(value, list):
            for index, element in enumerate(value):
                at = first + _line_of(index, lines)
                found.setdefault((*path, index), at)
                if isinstance(element, dict):
                    _add(found, (*path, index), element, [], at)


def _line_of(index: int, lines: list[str]) -> int:
    """The line, from 0, on which this element of an array ends: an inline table has one line."""
    for count in range(1, len(lines)):
        try:
            closed = tomllib.loads("\n".join([*lines[:count], "]"]))
        except tomllib.TOMLDecodeError:
            continue
        value: Any = closed
        while isinstance(value, dict):
            (value,) = value.values()
        if len(value) > index:
            return count - 1
    return max(0, len(lines) - 1)
