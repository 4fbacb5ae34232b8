"""Imports run one way: the contracts of import-linter in pyproject.toml, and what they cannot say."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "exo_graphql"
# Each command imports its libraries when it runs: `exo-graphql models` does not wait for the server's.
MAY_IMPORT_LATE = {"cli/mcp_command.py", "main.py", "program.py", "serve.py", "serve_command.py"}


def test_the_contracts_between_the_packages_are_kept() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_only_the_command_line_imports_late() -> None:
    late = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "static" not in path.parts
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert late - MAY_IMPORT_LATE == set()
