"""A real Chromium for the tests marked `chromium`, as a pytest plugin."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:  # to import it takes 150 ms, and only few tests have a browser
    from playwright.async_api import Browser, ConsoleMessage, Error, Page, Request, WebSocket
    from playwright.async_api import expect as expect
else:

    def expect(*actual: Any) -> Any:
        """As playwright's, which is imported only where there is a browser."""
        from playwright.async_api import expect

        return expect(*actual)


NAMES = ("chromium", "chromium-browser", "google-chrome")
# Nothing of the browser's own may leave the machine, nor ask for a display, a GPU or a first-run answer.
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def executable() -> str | None:
    """The Chromium to use: EXO_GRAPHQL_CHROMIUM, else the first of the usual names on the PATH."""
    named = os.environ.get("EXO_GRAPHQL_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


def missing() -> str | None:
    """Why there is no browser to test with, None where there is one."""
    return None if executable() else "no Chromium"


@dataclass  # no slots: playwright keeps its wrappers of these methods on the instance
class Visit:
    """One page in a fresh context of a browser: `problems` are console errors and uncaught exceptions, `foreign` the
    addresses that it asked of any host but this one."""

    page: Page
    problems: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(f"{message.text} ({message.location.get('url', '')})")

    def catch(self, error: Error) -> None:
        self.problems.append(str(error))

    def see(self, request: Request | WebSocket) -> None:
        address = urlsplit(request.url)
        if address.scheme not in {"data", "blob"} and address.hostname not in {"127.0.0.1", "localhost"}:
            self.foreign.append(request.url)


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests of a module, in each process of pytest; what a test sees of it is new, see `visit`."""
    from playwright.async_api import async_playwright, expect

    # Longer than the usual 5 s: a busy machine must not count. What comes to pass is never waited for any longer.
    expect.set_options(timeout=60_000)
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=executable(),
            headless=True,
            chromium_sandbox=os.geteuid() != 0,  # the sandbox does not start for root
            args=list(FLAGS),
        )
        try:
            yield launched
        finally:
            await launched.close()


@pytest.fixture
async def visit(browser: Browser) -> AsyncIterator[Visit]:
    """An empty page in a context of its own: no cookie, storage or cache of another test; steer `visit.page`."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    try:
        seen = Visit(await context.new_page())
        context.on("request", seen.see)
        seen.page.on("websocket", seen.see)
        seen.page.on("console", seen.hear)
        seen.page.on("pageerror", seen.catch)
        yield seen
    finally:
        await context.close()
