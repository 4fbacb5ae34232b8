"""The walls of the house: which room knows which, read off the imports themselves."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "exo_graphql"
ROOMS = {"cluster", "exo", "operations", "schema", "server", "demo", "cli"}

# What each room may import of the house, itself aside. `exo_graphql` is the package: its version.
MAY_KNOW = {
    "cluster": set(),
    "clock": {"cluster"},
    "exo": {"cluster", "clock", "tls"},
    "operations": {"cluster", "clock"},
    "schema": {"cluster", "operations"},
    "server": {"cluster", "clock", "operations", "schema", "exo_graphql"},
    "demo": set(),
    "cli": {"exo_graphql", "tls"},
    "settings": set(),
    "tls": set(),
}
# Here the rooms are wired together.
SEES_ALL = {"app", "run", "main", "__init__"}

# What has no business in a room: frameworks, transports, and clocks.
MAY_NOT_USE = {
    "cluster": {"asyncio", "httpx", "fastapi", "strawberry", "graphql", "pydantic", "orjson", "time", "logging", "os"},
    "exo": {"fastapi", "strawberry", "graphql"},
    "operations": {"httpx", "fastapi", "strawberry", "graphql"},
    "schema": {"httpx", "fastapi", "asyncio"},
    "server": {"httpx"},
    "demo": {"strawberry", "graphql"},
    "cli": {"strawberry", "fastapi"},
}


def _files() -> Iterator[Path]:
    yield from sorted(path for path in PACKAGE.rglob("*.py") if "static" not in path.parts)


def _room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def _modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their room"
            assert node.module is not None
            # `from exo_graphql import x` names the room in its list.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _rooms_known(path: Path) -> set[str]:
    known = set()
    for module in _modules(ast.parse(path.read_text())):
        package, *room = module.split(".")
        if package == "exo_graphql":
            known.add(room[0] if room and room[0] in ROOMS | SEES_ALL | {"settings", "clock", "tls"} else package)
    return known - {_room(path)}


@pytest.mark.parametrize("room", MAY_KNOW)
def test_a_room_knows_no_other_than_it_may(room: str) -> None:
    files = [path for path in _files() if _room(path) == room]
    assert files
    known = {str(path.relative_to(PACKAGE)): _rooms_known(path) - MAY_KNOW[room] for path in files}
    assert {name: beyond for name, beyond in known.items() if beyond} == {}


@pytest.mark.parametrize("room", MAY_NOT_USE)
def test_a_room_uses_nothing_that_has_no_business_in_it(room: str) -> None:
    used = {
        (str(path.relative_to(PACKAGE)), module.split(".")[0])
        for path in _files()
        if _room(path) == room
        for module in _modules(ast.parse(path.read_text()))
        if module.split(".")[0] in MAY_NOT_USE[room]
    }
    assert used == set()


def test_every_file_is_in_a_room_or_wires_them() -> None:
    assert {_room(path) for path in _files()} == ROOMS | SEES_ALL | {"settings", "clock", "tls"}


def test_only_the_command_line_imports_late() -> None:
    """`main` imports each command's libraries when it runs: no command waits for another's."""
    late = {
        str(path.relative_to(PACKAGE))
        for path in _files()
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert late - {"main.py", "run.py"} == set()


def test_the_rooms_are_drawn_without_a_circle() -> None:
    def reach(room: str, seen: tuple[str, ...] = ()) -> set[str]:
        assert room not in seen, seen
        below = MAY_KNOW.get(room, set()) - {"exo_graphql"}
        return below.union(*(reach(other, (*seen, room)) for other in below))

    assert reach("server") == {"schema", "operations", "cluster", "clock"}
    assert reach("exo") == {"cluster", "clock", "tls"}
