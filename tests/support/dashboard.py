"""The dashboard in a browser: opening it, finding its parts, and asking the server behind it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx

from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.support.chromium import expect
from tests.support.running import Running

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page, Route

PATIENCE_MS = 60_000.0
"""Longer than playwright's usual: a busy machine must not count."""


def tiny_exo(speed: float = 1.0) -> SimulatedExo:
    """The tiny scenario; `speed` simulated seconds a second."""
    return SimulatedExo(tiny_scenario(), speed=speed, seed=1)


def model_row(page: Page, model_id: str, phase: str = "") -> Locator:
    """The row of a model, or where it is in this phase."""
    return page.locator(f'[data-model="{model_id}"]' + (f'[data-phase="{phase}"]' if phase else ""))


async def open_dashboard(page: Page, running: Running) -> None:
    """Goes to the page, and waits for its first state."""
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(f"http://127.0.0.1:{running.port}/")
    await connected(page)


async def connected(page: Page, connected: str = "true") -> None:
    """Waits until the page shows the present state, or with "false" until it does not."""
    await expect(page.locator("body")).to_have_attribute("data-connected", connected, timeout=PATIENCE_MS)


async def shown(locator: Locator) -> None:
    """Waits until it is visible."""
    await expect(locator).to_be_visible(timeout=PATIENCE_MS)


async def ask(running: Running, query: str) -> Any:
    """The data that the server answers to a query, not through the page."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = (await client.post(running.url, json={"query": query})).json()
    assert "errors" not in answer, answer
    return answer["data"]


async def ready(running: Running, page: Page, model_id: str) -> None:
    """Loads a model, and waits until the page shows it as ready."""
    answer = await ask(running, f'mutation {{ loadModel(model: "{model_id}") {{ error {{ message }} }} }}')
    assert answer["loadModel"]["error"] is None
    await shown(model_row(page, model_id, "READY"))


async def choose(page: Page, model_id: str) -> None:
    """In the open dialog: search, and choose."""
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Search the catalogue").fill(model_id.partition("/")[2])
    radio = dialog.locator(f'[data-choice="{model_id}"]').get_by_role("radio")
    await radio.click()
    # The list is drawn anew with each state: a click between two drawings is lost, and made again as a person would.
    while not await radio.is_checked():
        await radio.click()


async def see_links_as_old(page: Page) -> None:
    """Makes the page see every link that is worse than before as if it had been so for long."""

    from playwright.async_api import Error

    async def patch(route: Route) -> None:
        try:
            response = await route.fetch()
        except Error:  # the server has ended
            await route.abort()
        else:
            body = re.sub(r'"since":"[^"]*"', '"since":"2020-01-01T00:00:00Z"', await response.text())
            await route.fulfill(response=response, body=body)

    await page.route("**/graphql", lambda route: patch(route) if _asks_for_links(route) else route.continue_())


def _asks_for_links(route: Route) -> bool:
    return "query Links" in (route.request.post_data or "")


def cut_link(exo: SimulatedExo, one: str, other: str) -> None:
    """The cable between two nodes is pulled."""
    cluster = exo._simulation.cluster
    ends = [exo.control.node_id(name) for name in (one, other)]
    for source, sink in (ends, ends[::-1]):
        del cluster.state.connections[source][sink]
    cluster.event()
