"""The log holds what happens, and no line for each request of a client."""

import logging

import pytest

from exo_graphql.observability.logs import configure


@pytest.mark.parametrize("library", ["httpx", "httpcore", "mcp"])
def test_a_library_that_logs_every_request_only_warns(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)  # the tests' own
    monkeypatch.setattr(logging.getLogger(library), "level", logging.NOTSET)
    configure(level="debug")
    assert logging.getLogger(library).level == logging.WARNING
