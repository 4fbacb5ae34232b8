"""What the dashboard shows on a wall, in a real Chromium: what is wrong first, what has happened."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.support.chromium import Visit, expect
from tests.support.dashboard import PATIENCE_MS, cut_link, open_dashboard, ready, see_links_as_old, shown, tiny_exo
from tests.support.running import running, until

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
    # The clock of the device that shows the page is an hour ahead.
    await page.add_init_script("{ const now = Date.now; Date.now = () => now() + 3_600_000; }")
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
    # The last interval is the mean so far; what was not reported is null, and a long silence leaves nothing.
    none = None
    assert found["hours"] == [
        [none, none, none, 2],
        [none, none, none, 3],
        [none, none, 3, 8],
        [3, 8, none, 6],
        [none, none, none, 1],
    ]
    assert found["power"] == [none] * 4
    # What is not reported is last, whichever way.
    assert found["tables"] == [["n2", "n9", "n10"], ["n2", "n10", "n9"], ["n10", "n2", "n9"]]
    # The first at once, then only the newest; what is loaded is not loaded again, unless it failed.
    assert found["loads"] == ["one", "three", "fails", "fails"]
    assert found["kept"] == ["b", "a", "new"]
    # What a loss or the error of a URL says is no reason of its own; that a new attempt failed is one.
    sick, disconnected, waiting = found["wrongs"]
    assert (sick["reasons"], len(sick["losses"]), len(sick["exoErrors"])) == (["Model m is FAILED: broken."], 1, 1)
    assert (disconnected["reasons"], len(disconnected["losses"]), disconnected["exoErrors"]) == (
        ["Disconnected."],
        1,
        [],
    )
    assert waiting == {"reasons": [], "losses": [], "exoErrors": [1]}
    assert found["paths"] == ["M0 10L10 5L20 0", "M10 6h0.1", "", "M0 0L20 10"]
    assert found["flat"] == "M0 10L20 10"
    assert found["extents"] == [[1, 3], none]
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
        # A link that is gone counts as lost after a while, since a node that dies or joins changes them one by one.
        cut_link(exo, "Mac Studio 1", "Mac Studio 2")
        await expect(drawing).to_have_attribute("aria-label", re.compile("^4 nodes, 6 links"))
        poller = server.components.poller
        await until(lambda: poller.snapshot is not None and poller.snapshot.links_version == 1)
        await expect(topology.locator(".worse li")).to_have_count(0)
        await see_links_as_old(page)
        cut_link(exo, "Mac mini", "Mac Studio 2")  # so that they are asked for again
        await expect(topology.locator(".worse li")).to_have_count(2, timeout=PATIENCE_MS)
        await expect(topology.locator(".worse li", has_text="Mac Studio 1")).to_have_text(
            re.compile(r"^Mac Studio \d and Mac Studio \d: lost since .*, was RDMA$")
        )
        await expect(drawing.locator('line[data-link="LOST"]')).to_have_count(2)
        await topology.get_by_text("All links").click()
        await expect(topology.locator("details li")).to_have_count(6)
        await drawing.locator("a").first.press("Enter")
        focused = await page.evaluate("document.activeElement.dataset.node")
        assert focused == await drawing.locator("a").first.get_attribute("data-place")
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert visit.problems == []


async def test_many_nodes_are_a_table_that_is_sorted_and_opened_and_their_history_is_asked_for_once(
    visit: Visit,
) -> None:
    page = visit.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data or "") if request.method == "POST" else None)
    exo = SimulatedExo(replace(tiny_scenario(10), ready={A: ("node-4",)}), seed=1)
    async with running(exo, normal_pause=0.1) as server:
        await open_dashboard(page, server)
        rows = page.locator("#nodes tbody")
        await expect(rows).to_have_count(10)
        names = rows.locator("th")
        assert (await names.all_inner_texts())[:3] == ["node-1", "node-2", "node-3"]  # not node-10
        await page.get_by_role("button", name="Models").click()
        await expect(page.locator('#nodes th[aria-sort="descending"]')).to_have_text("Models")
        await expect(rows.first).to_contain_text("tiny-a")
        await page.get_by_role("button", name="Node", exact=True).click()
        opener = rows.nth(1).get_by_role("button", name="node-2")
        await opener.press("Enter")
        await expect(opener).to_have_attribute("aria-expanded", "true")
        chart = rows.nth(1).get_by_role(
            "img", name=re.compile(r"^Memory, last hour: 2\.0 GiB to .*\. Now: 2\.\d GiB\.$")
        )
        await expect(chart).to_be_visible()
        await expect(chart.locator(".line")).to_have_attribute("d", re.compile("[ML]300 48"))  # a quarter, just now
        await chart.hover(position={"x": 3, "y": 9})
        await expect(rows.nth(1).locator(".chart").first).to_contain_text("not reported")
        drawing = page.locator("#topology .map svg")
        await expect(drawing.locator(".hub")).to_have_text("Ethernet")
        await expect(drawing.locator("a")).to_have_count(10)
        await drawing.locator("a").nth(4).press("Enter")
        await expect(rows.nth(4)).to_be_focused()
        await page.set_viewport_size({"width": 390, "height": 844})
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert sum("query History" in body for body in asked) == 1
    assert visit.problems == []
