"""What a process of the tests keeps for the next one: a pytest of its own, in a container's surroundings."""

import gc
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_bytecode_of_tests_is_kept_in_every_environment(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pytester.makepyfile("def test_it():\n    assert True\n")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.runpytest_subprocess("-p", "tests.support.startup").assert_outcomes(passed=1)
    assert list(path.parent.glob(f"__pycache__/{path.stem}.*-pytest-*.pyc"))


def test_the_collector_leaves_what_was_collected_alone() -> None:
    assert gc.get_freeze_count() > 10_000
