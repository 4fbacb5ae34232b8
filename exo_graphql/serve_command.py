"""The command `serve`: from its flags to settings, and from these to a server and its exit code.

Typer describes the flags, completes them and says what is wrong with them (`program.py`). It need not be loaded where
there is nothing of this to do: that is a tenth of the time and 4 MB of the memory that a server starts with.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from exo_graphql.removed_settings import REMOVED
from exo_graphql.settings import Settings, SettingsError, variable


def flag(name: str) -> str:
    """The flag of a setting."""
    return "--" + name.replace("_", "-")


def start(given: Mapping[str, Any]) -> int:
    """Serves by these settings and those of the environment until a signal; returns the exit code.

    `given` holds the values of the flags by the names of their settings, those that were removed included.
    """
    flags = {name: value for name, value in given.items() if name not in REMOVED}

    def given_as(name: str) -> str:
        """What a setting is called where its value comes from: the flag, or the variable."""
        return variable(name) if name not in flags and os.environ.get(variable(name)) else flag(name)

    for name, reason in REMOVED.items():
        if name in given or os.environ.get(variable(name)):
            _say(f"Warning: {flag(name)} was removed and has no effect: {reason}.")
    try:
        settings = Settings(**flags)
    except ValidationError as error:
        for problem in error.errors():
            name = given_as(str(problem["loc"][0]))
            _say(f"error: Invalid value for {name}: {problem['msg'].removeprefix('Value error, ')}")
        return 2
    try:
        return _serve(settings)
    except SettingsError as error:
        # What shows only when the server is put together, such as a directory that cannot be written.
        name = given_as(error.setting) if error.setting in Settings.model_fields else error.setting
        _say(f"error: {name}: {error.message}")
        return error.exit_code


def _serve(settings: Settings) -> int:
    # Not before the settings are known to be right: who has mistyped one need not wait for all of the server.
    from exo_graphql.observability.logs import configure
    from exo_graphql.serve import block_on, run

    configure(settings.log_format, settings.log_level)
    return block_on(run(settings))


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


class _NotPlain(ValueError):
    """Typer has to read it."""


def plain_flags(arguments: Sequence[str]) -> dict[str, Any] | None:
    """The values of flags by the names of their settings, as Typer reads them.

    None where Typer has to read them itself: there is a mistake, a removed flag or `--help` among them.
    """
    given: dict[str, Any] = {}
    rest = iter(arguments)
    try:
        for argument in rest:
            _read(argument, rest, given)
    except ValueError:
        return None
    return given


def _read(argument: str, rest: Iterator[str], given: dict[str, Any]) -> None:
    """Puts one flag into `given`. Raises ValueError for what is not the whole flag of a setting and a valid value."""
    text, separator, value = argument.partition("=")
    name = text.removeprefix("--no-" if text.startswith("--no-") else "--").replace("-", "_")
    field = Settings.model_fields.get(name)
    if field is None:
        raise _NotPlain
    kind: Any = field.annotation
    if kind is bool:
        # What is on by default can be switched off, and the other way round; Typer has no `--demo=yes` either.
        if argument != flag(name) and (argument != f"--no-{flag(name)[2:]}" or not field.default):
            raise _NotPlain
        given[name] = argument == flag(name)
        return
    if text != flag(name):
        raise _NotPlain
    if not separator:
        value = next(rest, "-")
        if value.startswith("-"):  # more often a flag whose value was forgotten
            raise _NotPlain
    if kind == tuple[str, ...]:
        given.setdefault(name, []).append(value)
    else:
        given[name] = _converted(kind, value)


def _converted(kind: Any, value: str) -> Any:
    if kind in (int, float):
        if not value.isascii():  # Python reads the digits of every script, Typer 0 to 9
            raise _NotPlain
        return kind(value)
    if kind == Path | None or kind is Path:
        return Path(value)
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise _NotPlain
    return value
