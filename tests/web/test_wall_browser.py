"""What the dashboard shows on a wall, in a real Chromium: what is wrong first, what has happened."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from exo_graphql.simulator import SimulatedExo
from tests.support.chromium import Visit
from tests.support.dashboard import PATIENCE_MS, open_dashboard, ready, shown, tiny_exo
from tests.support.running import running

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

A = "test/tiny-a"

# Calls the functions that decide what is drawn where.
PURE = Path(__file__).with_name("wall.js").read_text(encoding="utf-8")


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


async def test_what_is_drawn_where(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo()) as server:
        await open_dashboard(page, server)
        found = await page.evaluate(PURE)
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert found["overlaps"] == []
    # Five or more nodes that all reach each other meet in one point; a faster or a lost link stays a line of its own.
    assert found["hubs"] == [[None, 6], ["ETHERNET", 0], ["ETHERNET", 2], [None, 14], [None, 0]]
    assert found["route"] == ["a", "b"]
    assert found["unordered"] == ["b", "a"]
    assert found["cut"] == ["spark", "Mac St\N{HORIZONTAL ELLIPSIS}o 2"]
    assert visit.problems == []


async def test_the_topology_shows_links_models_and_what_was_lost(visit: Visit) -> None:
    page = visit.page
    exo = SimulatedExo(seed=1)
    async with running(exo, normal_pause=0.1) as server:
        await open_dashboard(page, server)
        topology = page.locator("#topology")
        drawing = topology.locator(".map svg")
        await expect(drawing).to_have_attribute(
            "aria-label", re.compile(r"^4 nodes, 6 links: 1 over RDMA, 2 over Ether")
        )
        await expect(drawing.locator("a")).to_have_count(4)
        await expect(drawing.locator(".band")).to_have_count(1)
        await expect(topology.locator(".legend li")).to_contain_text("Qwen3-235B-A22B-Instruct-2507-8bit")
        await expect(topology.locator(".legend li")).to_contain_text("Mac Studio 1 (layers 47\N{EN DASH}93)")
        await expect(topology.locator(".worse li")).to_have_count(0)
        # Another client of the same server sees a link go, and its line stays as lost.
        cut_link(exo, "Mac Studio 1", "Mac Studio 2")
        await expect(topology.locator(".worse li")).to_contain_text(
            re.compile(r"^Mac Studio \d and Mac Studio \d: lost since .*, was RDMA$"), timeout=PATIENCE_MS
        )
        await expect(drawing.locator('line[data-link="LOST"]')).to_have_count(1)
        await topology.get_by_text("All links").click()
        await expect(topology.locator("details li")).to_have_count(6)
        await drawing.locator("a").first.press("Enter")
        focused = await page.evaluate("document.activeElement.dataset.node")
        assert focused == await drawing.locator("a").first.get_attribute("data-place")
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert visit.problems == []


def cut_link(exo: SimulatedExo, one: str, other: str) -> None:
    """The cable between two nodes is pulled."""
    cluster = exo._simulation.cluster
    ends = [exo.control.node_id(name) for name in (one, other)]
    for source, sink in (ends, ends[::-1]):
        del cluster.state.connections[source][sink]
    cluster.event()
