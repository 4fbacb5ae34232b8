"""Tables to text that `reader.py` reads back as the same tables."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from exo_graphql.deployment_file.arguments import KEYS, WINDOW_KEYS, Kind, Table
from exo_graphql.deployment_file.reader import ROOT

_BARE = re.compile(r"[A-Za-z0-9_-]+")
# https://toml.io/en/v1.0.0#string: what a basic string must escape.
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def write(tables: Iterable[Table]) -> str:
    """The whole file; a comment alone where there is none."""
    return "\n".join(_table(table) for table in tables) or f"# No deployments.\n[{ROOT}]\n"


def lines(arguments: Mapping[str, Any]) -> list[str]:
    """The lines of one table, without its header, in the order of `KEYS`."""
    return [f"{key.name} = {value(arguments[key.name])}" for key in KEYS if key.name in arguments]


def value(given: Any) -> str:
    """A value in TOML; the windows of a schedule on lines of their own where there are several."""
    match given:
        case bool():
            return "true" if given else "false"
        case int():
            return str(given)
        case str():
            return '"' + _ESCAPED.sub(lambda found: _SHORT.get(found[0], f"\\u{ord(found[0]):04x}"), given) + '"'
        case dict():
            pairs = (f"{key.name} = {value(given[key.name])}" for key in WINDOW_KEYS if key.name in given)
            return f"{{ {', '.join(pairs)} }}"
        case list() | tuple():
            parts = [value(element) for element in given]
            if len(parts) > 1 and isinstance(given[0], dict):
                return "[\n" + "".join(f"  {part},\n" for part in parts) + "]"
            return f"[{', '.join(parts)}]"
    raise TypeError(f"{type(given).__name__} is not one of {', '.join(kind.name for kind in Kind)}")


def _table(table: Table) -> str:
    name = table.name if _BARE.fullmatch(table.name) else value(table.name)
    return "\n".join([f"[{ROOT}.{name}]", *lines(table.arguments)]) + "\n"
