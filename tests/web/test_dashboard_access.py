"""The dashboard in a real Chromium, in its states: held against axe-core's rules in both colour schemes; its width."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from exo_graphql.simulator import Fault, SimulatedExo, tiny_scenario
from exo_graphql.simulator.scenario import Traffic
from tests.support.axe import violations
from tests.support.chromium import Visit, expect
from tests.support.dashboard import ask, choose, connected, cut_link, open_dashboard, see_links_as_old
from tests.support.node_tools import NodeTools
from tests.support.running import Running, running

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = [pytest.mark.anyio, pytest.mark.chromium, pytest.mark.npm]

START = """async model => {
  const { ask } = await import("./dashboard/assets/request.js");
  await ask("mutation Start($model: String!) { startDownload(model: $model) { error { code } } }", { model });
}"""
SCHEDULE = '[{cron: "0 6 * * 1-5", durationMinutes: 600, timeZone: "UTC"}]'


async def _apply(server: Running, name: str, model: str, more: str = "") -> None:
    await ask(server, f'mutation {{ applyDeployment(name: "{name}", model: "{model}"{more}) {{ error {{ code }} }} }}')


async def _is_accessible(page: Page, tools: NodeTools) -> None:
    await page.evaluate("Promise.all(document.getAnimations().map(({ finished }) => finished.catch(() => {})))")
    assert await violations(page, tools) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_state_of_the_page_breaks_a_rule(visit: Visit, node_tools: NodeTools, scheme: str) -> None:
    page = visit.page
    # Nothing moves, so that no colour is half faded in.
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    exo = SimulatedExo(tiny_scenario(), speed=15, seed=1, faults=[Fault("load-fails", "test/tiny-b")])
    async with running(exo, lost_after=0.5, normal_pause=0.1, fast_pause=0.1) as server:
        await open_dashboard(page, server)
        await _is_accessible(page, node_tools)  # empty

        for name, model in (("day", "tiny-a"), ("broken", "tiny-b"), ("huge", "huge"), ("paused", "tiny-c")):
            await _apply(server, name, model, f", schedule: {SCHEDULE}" if name == "paused" else "")
        await ask(server, 'mutation { pauseDeployment(name: "paused") { error { code } } }')
        for name, state in (("day", "READY"), ("broken", "RETRYING"), ("huge", "UNSATISFIABLE"), ("paused", "PAUSED")):
            await expect(page.locator(f'[data-deployment="{name}"][data-state="{state}"]')).to_be_visible()
        await expect(page.locator(".calendar")).to_be_visible()
        # It is unfolded already where the first state that the page was shown had the schedule.
        if await page.locator(".calendar").get_attribute("open") is None:
            await page.get_by_text("Calendar: the next 14 days").click()
        await expect(page.locator(".calendar")).to_have_attribute("data-loaded", "true")
        await page.get_by_text("All changes").click()
        await _is_accessible(page, node_tools)

        await page.get_by_role("button", name="New deployment…").click()
        dialog = page.get_by_role("dialog", name="New deployment")
        await dialog.get_by_label("Name", exact=True).fill("other")
        await choose(page, "test/half")
        await dialog.get_by_role("button", name="Add a window").click()
        await dialog.get_by_text("Nodes and other settings").click()
        await dialog.get_by_role("button", name="Preview plan").click()
        await expect(dialog.get_by_role("button", name="Apply")).to_be_visible()
        await _is_accessible(page, node_tools)
        await page.keyboard.press("Escape")

        for act in ("Pause", "Delete"):
            await page.get_by_role("button", name=f"{act} day", exact=True).click()
            await _is_accessible(page, node_tools)
            await page.keyboard.press("Escape")

        await page.get_by_role("button", name="Unload tiny-a").click()
        await page.get_by_role("dialog").get_by_role("button", name="Unload", exact=True).click()
        await expect(page.locator("#notice")).to_contain_text("This has paused")
        await _is_accessible(page, node_tools)

        server.exo.control.drop_connections = True
        await expect(page.locator("body")).to_have_attribute("data-stale", "")
        await _is_accessible(page, node_tools)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_state_of_an_action_breaks_a_rule(visit: Visit, node_tools: NodeTools, scheme: str) -> None:
    page = visit.page
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    nodes, half = ("node-1", "node-2"), "test/half"
    scenario = replace(tiny_scenario(), ready={half: nodes}, traffic=(Traffic(half, every=1.0, seconds=1e6),))
    exo = SimulatedExo(scenario, speed=0.2, seed=1, faults=[Fault("download-fails", "test/huge")])
    async with running(exo, tokens="operate:open-sesame") as server:
        await page.goto(f"http://127.0.0.1:{server.port}/")
        await expect(page.get_by_role("dialog", name="Token required")).to_be_visible()
        await _is_accessible(page, node_tools)
        await page.get_by_label("Token", exact=True).fill("open-sesame")
        await page.get_by_role("button", name="Use token").click()
        await connected(page)
        for model in ("absent", "huge"):
            await page.evaluate(START, model)
        server.exo.control.advance(2.0)
        await page.get_by_role("button", name="Pause: absent on node-1").click()
        for status in ("PAUSED", "DOWNLOADING", "FAILED"):
            await expect(page.locator(f"[data-download][data-status={status}]").first).to_be_visible()
        await page.get_by_text("Weights on disk").click()
        await expect(page.locator("[data-weights]").first).to_be_visible()
        await page.get_by_text("How to call it").click()
        await page.get_by_role("button", name="Copy address").click()
        await _is_accessible(page, node_tools)

        dialogs = ("Delete all: absent", "Cancel: text generation of half", "Unload half")
        for opener in dialogs:
            await page.get_by_role("button", name=opener, exact=True).first.click()
            await _is_accessible(page, node_tools)
            await page.keyboard.press("Escape")

        dialog = page.locator("#load-dialog")
        await page.get_by_role("button", name="Load model…").click()
        await choose(page, "test/other-half")
        await expect(dialog.get_by_role("button", name="Unload half for it")).to_be_visible()
        await _is_accessible(page, node_tools)
        await dialog.get_by_role("button", name="Unload half for it").click()
        await expect(dialog).to_contain_text("until then the cluster serves no model")
        await dialog.get_by_text("Steps in order").click()
        await _is_accessible(page, node_tools)
        await page.keyboard.press("Escape")

        await page.get_by_role("button", name="Resume: huge on node-1").click()
        await expect(page.locator("#notice")).to_contain_text("failed")
        await _is_accessible(page, node_tools)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_cluster_breaks_a_rule_however_many_nodes_it_has(
    visit: Visit, node_tools: NodeTools, scheme: str
) -> None:
    page = visit.page
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    exo = SimulatedExo(replace(tiny_scenario(9), ready={"test/tiny-a": ("node-4",)}), speed=15, seed=1)
    state = exo._simulation.cluster.state
    async with running(exo, normal_pause=0.1) as server:
        await open_dashboard(page, server)
        await page.get_by_role("button", name="node-2", exact=True).click()
        state.network[exo.control.node_id("node-3")]["interfaces"].clear()
        del state.memory[exo.control.node_id("node-9")]
        await see_links_as_old(page)
        cut_link(exo, "node-1", "node-2")
        await expect(page.locator("#topology .worse li")).to_contain_text("lost since")
        await page.get_by_text("All links").click()
        await _is_accessible(page, node_tools)
        await page.set_viewport_size({"width": 390, "height": 844})
        await _is_accessible(page, node_tools)
        await page.set_viewport_size({"width": 1280, "height": 800})
        await expect(page.locator("[data-model]")).to_have_attribute("data-phase", "READY")
        exo.control.restart(1.0)
        await expect(page.locator("#banner [data-loss]")).to_be_visible()
        await _is_accessible(page, node_tools)

    empty = SimulatedExo(tiny_scenario(), seed=1)
    empty._simulation.cluster.state.nodes.clear()
    empty._simulation.cluster.state.connections.clear()
    async with running(empty) as server:
        await open_dashboard(page, server)
        await expect(page.locator("#nodes .empty")).to_have_text("The cluster has no nodes.")
        await expect(page.locator("#topology .empty")).to_be_visible()
        await _is_accessible(page, node_tools)

    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with running(demo=False, exo_url=(f"http://127.0.0.1:{port}",)) as server:
        await page.goto(f"http://127.0.0.1:{server.port}/")
        await expect(page.locator("#banner .tried li")).to_contain_text("exo cannot be reached.")
        await expect(page.locator("main h2").first).to_be_hidden()
        await _is_accessible(page, node_tools)


async def test_twelve_deployments_fit_a_phone(visit: Visit) -> None:
    page = visit.page
    await page.set_viewport_size({"width": 390, "height": 844})
    async with running(SimulatedExo(seed=1)) as server:
        ids = [each["id"] for each in (await ask(server, "{ models { id } }"))["models"]][:12]
        for number, model in enumerate(ids):
            await _apply(server, f"a-rather-long-name-of-a-deployment-{number}", model, f", schedule: {SCHEDULE}")
        await open_dashboard(page, server)
        await expect(page.locator(".calendar")).to_have_attribute("data-loaded", "true")
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        await page.get_by_role("button", name="Edit a-rather-long-name-of-a-deployment-3").click()
        dialog = page.locator("#deployment-dialog")
        await dialog.get_by_text("Nodes and other settings").click()
        content = dialog.locator(".content")
        assert await content.evaluate("element => element.scrollWidth <= element.clientWidth")
        await expect(dialog.get_by_role("button", name="Preview plan")).to_be_in_viewport(ratio=1)
