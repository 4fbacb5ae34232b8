"""What the dashboard shows on a wall, in a real Chromium: what is wrong first, what has happened."""

import re

import pytest
from playwright.async_api import expect

from tests.support.chromium import Visit
from tests.support.dashboard import PATIENCE_MS, open_dashboard, ready, shown, tiny_exo
from tests.support.running import running

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

A = "test/tiny-a"


async def test_a_lost_model_is_first_until_somebody_acknowledges_it(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(speed=15), idle_pause=0.2, normal_pause=0.1) as server:
        await open_dashboard(page, server)
        await expect(page.locator("#banner")).to_be_hidden()
        await shown(page.get_by_text("No events yet."))
        await ready(server, page, A)
        events = page.locator("#events li")
        await expect(events.first).to_contain_text("SUCCEEDED")
        await expect(page.locator('#events [data-event="MODEL_READY"]')).to_contain_text(f"Model {A} is ready.")
        server.exo.control.restart(1.0)
        loss = page.locator("#banner [data-loss]")
        await expect(loss).to_contain_text(f"Model {A} was lost: The cluster lost", timeout=PATIENCE_MS)
        assert await loss.locator("strong").inner_text()  # when
        await expect(page.locator("#health")).to_have_text("Unhealthy")
        listed = page.locator('#events [data-event="MODEL_LOST"]')
        await expect(listed).to_have_attribute("data-severity", "ERROR")
        # The server's own sentence about the same loss is not listed a second time.
        assert (await page.locator("#banner").inner_text()).count("was lost") == 1
        await loss.get_by_role("button", name=f"Acknowledge the loss of {A}").click()
        await expect(loss).to_have_count(0)
        await expect(page.locator("#health")).to_have_text("Healthy")
        await expect(listed).to_contain_text("acknowledged")
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert visit.problems == []


async def test_an_exo_that_does_not_answer_says_why_and_how_old_each_part_is(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(), lost_after=0.5, normal_pause=0.1, fast_pause=0.1) as server:
        await open_dashboard(page, server)
        server.exo.control.drop_connections = True
        tried = page.locator("#banner .tried li")
        await expect(tried).to_contain_text("http://demo.exo.local: exo cannot be reached.", timeout=PATIENCE_MS)
        await expect(tried).to_contain_text("Check that exo runs on that machine")
        assert (await page.locator("#banner").inner_text()).count("cannot be reached") == 1
        for section in ("models", "nodes", "operations"):
            await expect(page.locator(f"#{section} [data-age]")).to_have_text(re.compile(r"as of \d+ s ago"))
        # The event comes while the first list of events is less than a second old.
        await expect(page.locator('#events [data-event="EXO_UNREACHABLE"]')).to_be_visible()
