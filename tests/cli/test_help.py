"""What `--help` prints is all that is written for it, at any width: no word broken, no bracket taken for markup."""

import contextlib
import os
import re
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from exo_graphql.program import app

# One process prints every command's help at every width: starting one for each would take a minute.
EVERY_HELP = """
import os, sys, termios
import typer
from exo_graphql.program import app
program = typer.main.get_command(app)
widths, *commands = sys.stdin.read().splitlines()
for columns in map(int, widths.split()):
    termios.tcsetwinsize(1, (24, columns))
    for command in commands:
        try:
            program([*command.split(), "--help"])
        except SystemExit as end:
            assert not end.code, command
        print(chr(12), end="", flush=True)
"""
WIDEST = 200


def every_command() -> list[str]:
    """Each command and each group, as it is typed: "", "models", "models load"."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[str]:
        yield " ".join(path)
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, (*path, name))

    return list(walk(typer.main.get_command(app), ()))


def without_size() -> dict[str, str]:
    """The surroundings, which must not say how wide the terminal is."""
    return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}


def helps_at(widths: Sequence[int]) -> dict[int, dict[str, str]]:
    """What each command's help is on a terminal of each width (columns)."""
    commands = every_command()
    controller, terminal = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", EVERY_HELP], stdin=subprocess.PIPE, stdout=terminal, stderr=terminal, env=without_size()
    ) as process:
        os.close(terminal)
        assert process.stdin is not None
        process.stdin.write("\n".join([" ".join(map(str, widths)), *commands]).encode() + b"\n")
        process.stdin.close()
        read = b""
        with contextlib.suppress(OSError):  # Linux: EIO at the end
            while piece := os.read(controller, 65536):
                read += piece
        os.close(controller)
    assert process.returncode == 0, read.decode()
    texts = read.decode().replace("\r\n", "\n").split("\f")
    assert texts.pop() == ""
    return {
        columns: dict(zip(commands, some, strict=True))
        for columns, some in zip(widths, batched(texts, len(commands)), strict=True)
    }


def batched(texts: Sequence[str], size: int) -> list[Sequence[str]]:
    """The texts, so many at a time."""
    return [texts[at : at + size] for at in range(0, len(texts), size)]


def test_no_word_is_broken_or_lost_at_any_width() -> None:
    narrow = [24, 40, 60, 80, 120]
    helps = helps_at([WIDEST, *narrow])
    widest = helps[WIDEST]
    assert {"", "serve", "models load", "operations cancel"} < widest.keys()
    assert "--exo-url" in widest["serve"]
    for columns in narrow:
        for command, text in helps[columns].items():
            assert sorted(text.split()) == sorted(widest[command].split()), (columns, command)
            # A longer line is broken by the terminal, at any letter.
            too_long = [line for line in text.splitlines() if len(line) > columns]
            assert [line for line in too_long if len(line.split()) > 1 or line != line.strip()] == [], (
                columns,
                command,
            )


def test_wrong_usage_is_reported_without_breaking_a_word_either(program: Sequence[str]) -> None:
    controller, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 24))
    subprocess.run([*program, "models", "load", "--shard", "a"], stderr=terminal, env=without_size(), timeout=120)
    os.close(terminal)
    text = os.read(controller, 65536).decode()
    os.close(controller)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert lines[:3] == ["error: No such option:", "  --shard (Possible", "  options: --sharding)"]
    assert max(map(len, lines)) <= 24


def test_commands_stand_under_what_they_are_for() -> None:
    shown = CliRunner().invoke(app, ["--help"]).stdout
    assert shown.index("\nServe:\n") < shown.index("\n  simulate ") < shown.index("\nUse a running server:\n")
    assert shown.index("\nUse a running server:\n") < shown.index("\n  status ")


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["--help"], ["[default: http://127.0.0.1:52416/graphql]", "[default: 127.0.0.1]", "[default: 52416]"]),
        (["simulate", "--help"], ["KIND[:TARGET][@SECONDS]", "[default: 52415; 0<=x<=65535]"]),
        (["serve", "--help"], ["KIND[:TARGET][@SECONDS]", "[EXO_GRAPHQL_PORT]", "[default: 52416]"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and "--help" in value else "",
)
def test_texts_with_brackets_are_shown(arguments: list[str], texts: list[str]) -> None:
    shown = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"}).stdout
    assert [text for text in texts if text not in " ".join(shown.split())] == []
