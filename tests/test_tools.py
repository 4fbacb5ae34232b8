"""What becomes of a test whose tool is missing: with and without the tool, and with it required, over processes too."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.tools import TOOLS

ROOT = Path(__file__).parents[1]

TESTS = """
import pytest

@pytest.mark.chromium
def test_in_a_browser():
    pass

@pytest.mark.chromium
def test_skipped():
    pytest.skip("not today")

def test_without():
    pass
"""
CONFIGURATION = """
[pytest]
addopts = --strict-markers
markers =
    chromium: needs one
    npm: needs it
"""


Run = Callable[..., pytest.RunResult]


@pytest.fixture(params=["0", "1"])
def run(pytester: pytest.Pytester, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `TESTS` in a pytest of its own, alone or with a process beside it, and with none of our surroundings."""

    def run(**variables: str) -> pytest.RunResult:
        for name in [name for name in os.environ if name.startswith(("EXO_GRAPHQL_", "PYTEST_"))]:
            monkeypatch.delenv(name)
        # Other plugins than those that are named are surroundings too, and take long to load.
        alone = {"PATH": "/nowhere", "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        for name, value in {**alone, **variables}.items():
            monkeypatch.setenv(name, value)
        return pytester.runpytest_subprocess("-p", "xdist", "-p", "tests.support.tools", "-n", request.param)

    pytester.makefile(".ini", pytest=CONFIGURATION)
    pytester.makepyfile(TESTS)
    return run


def left_out(result: pytest.RunResult) -> list[str]:
    """The lines that say so."""
    return sorted(line for line in result.outlines if line.startswith("LEFT OUT"))


def test_without_the_tool_each_test_that_needs_it_is_left_out_by_name(run: Run) -> None:
    result = run()
    result.assert_outcomes(passed=1, skipped=2)
    in_a_browser, skipped = left_out(result)
    assert in_a_browser.startswith("LEFT OUT (no Chromium): test_without_the_tool_each_test_that_needs_it_is_left_out")
    assert "::test_in_a_browser" in in_a_browser
    assert skipped.endswith("::test_skipped")


def test_with_the_tool_only_what_skips_itself_is_left_out(run: Run) -> None:
    result = run(EXO_GRAPHQL_CHROMIUM="/somewhere/chromium")
    result.assert_outcomes(passed=2, skipped=1)
    (line,) = left_out(result)
    assert line.startswith("LEFT OUT (not today): ")


def test_a_tool_that_is_required_and_missing_fails_what_needs_it(run: Run) -> None:
    result = run(EXO_GRAPHQL_REQUIRE_CHROMIUM="1")
    result.assert_outcomes(passed=1, errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*EXO_GRAPHQL_REQUIRE_CHROMIUM wants it run: no Chromium*"])


def test_of_a_tool_that_is_required_no_test_may_skip_itself(run: Run) -> None:
    result = run(EXO_GRAPHQL_CHROMIUM="/somewhere/chromium", EXO_GRAPHQL_REQUIRE_CHROMIUM="1")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*EXO_GRAPHQL_REQUIRE_CHROMIUM wants it run: not today*"])


def test_every_tool_has_its_marker_and_every_test_of_a_fixture_that_needs_it_carries_it(
    request: pytest.FixtureRequest,
) -> None:
    needs = {"visit": "chromium", "node_tools": "npm", "wheel": "npm", "postgres": "postgres", "database": "postgres"}
    assert {*needs.values(), "promtool", "proxies"} == set(TOOLS), "these two need no fixture"
    unmarked = [
        item.nodeid
        for item in request.session.items
        for fixture, tool in needs.items()
        if fixture in getattr(item, "fixturenames", ()) and not item.get_closest_marker(tool)
    ]
    assert unmarked == []
