"""Tests marked with the name of a tool, as a pytest plugin: where the tool is missing they are left out by name.

With EXO_GRAPHQL_REQUIRE_CHROMIUM=1, …_NPM=1, …_POSTGRES=1, …_PROMTOOL=1, …_PROXIES=1 (as in CI) a test that is left
out or skipped fails.
A new tool needs a line in `TOOLS` and a marker in pyproject.toml.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Generator, Mapping
from functools import cache

import pytest

from tests.support import chromium, node_tools, postgres, promtool, proxies

TOOLS: Mapping[str, Callable[[], str | None]] = {
    "chromium": chromium.missing,
    "npm": node_tools.missing,
    "postgres": postgres.missing,
    "promtool": promtool.missing,
    "proxies": proxies.missing,
}
"""By marker, what says why the tool cannot be used here, or None where it can."""


@cache
def _missing(tool: str) -> str | None:
    return TOOLS[tool]()


def _required(tool: str) -> bool:
    return os.environ.get(f"EXO_GRAPHQL_REQUIRE_{tool.upper()}") == "1"


def _of(names: Collection[str]) -> list[str]:
    """The tools among the markers of a test."""
    return [tool for tool in TOOLS if tool in names]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for tool in _of([mark.name for mark in item.iter_markers()]):
        if (reason := _missing(tool)) is not None:
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not report.skipped or hasattr(report, "wasxfail"):
        return report
    if required := [tool for tool in _of([mark.name for mark in item.iter_markers()]) if _required(tool)]:
        variable = f"EXO_GRAPHQL_REQUIRE_{required[0].upper()}"
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was left out, and {variable} wants it run: {_reason(report)}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.getreports("skipped"):
        if _of(report.keywords):
            terminalreporter.write_line(f"LEFT OUT ({_reason(report)}): {report.nodeid}")


def _reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
