"""The dashboard in a real Chromium, over the real server and a simulated exo."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from exo_graphql.simulator import Fault, SimulatedExo, tiny_scenario
from exo_graphql.simulator.scenario import default_scenario
from tests.support.chromium import Visit, expect
from tests.support.dashboard import (
    PATIENCE_MS,
    ask,
    choose,
    connected,
    model_row,
    open_dashboard,
    ready,
    shown,
    tiny_exo,
)
from tests.support.leaderships import Directed, directed, replica
from tests.support.running import PATIENCE, running, until

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

A = "test/tiny-a"
HALF, OTHER_HALF = "test/half", "test/other-half"

# Keeps each phase that a model's row has shown, in order.
REMEMBER_PHASES = """model => {
  window.phases = [];
  const look = () => {
    const phase = document.querySelector(`[data-model="${model}"]`)?.dataset.phase;
    if (phase && window.phases.at(-1) !== phase) window.phases.push(phase);
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""


async def test_a_model_goes_from_loading_to_ready_by_itself_and_nothing_else_is_asked(visit: Visit) -> None:
    page = visit.page
    # Slow, for a page that is held up sees what is newest then, and not each phase.
    async with running(tiny_exo(speed=0.7)) as server:
        await open_dashboard(page, server)
        await page.evaluate(REMEMBER_PHASES, A)
        await ready(server, page, A)
        phases = await page.evaluate("window.phases")
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert "LOADING" in phases
    assert phases[-1] == "READY"
    assert phases.index("LOADING") < phases.index("READY")
    assert visit.foreign == []
    assert visit.problems == []


async def test_one_stream_and_no_polling(visit: Visit) -> None:
    page = visit.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data or "") if request.method == "POST" else None)
    async with running(tiny_exo(speed=15)) as server:
        await open_dashboard(page, server)
        await ready(server, page, A)
        await ask(server, f'mutation {{ unloadModel(model: "{A}") {{ error {{ message }} }} }}')
        await expect(model_row(page, A)).to_have_count(0, timeout=PATIENCE_MS)
        # Before the server stops, since the page then connects again.
        kinds = Counter(body.split('query":"')[1].strip("\\n")[:12] for body in asked)
    # Events are listed anew only when there are new ones: at the start, and after the four of two operations.
    assert 1 <= kinds.pop("query Events") <= 5
    assert kinds == {"subscription": 1, "mutation May": 1, "query Links ": 1, "query Histor": 1}


async def test_the_footer_names_the_server_that_leads_where_there_are_several(visit: Visit) -> None:
    page = visit.page
    with directed(Directed("mini-2", replica("mini-1", leads=True))) as leadership:
        async with running(tiny_exo()) as server:
            await open_dashboard(page, server)
            footer = page.locator("#footer")
            await expect(footer).to_contain_text("· 2 servers, mini-1 leads")
            leadership.set(None)
            await expect(footer).to_contain_text("· 2 servers, none leads")
            leadership.set("mini-2")
            await expect(footer).to_contain_text("· 2 servers, mini-2 leads")
            await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    async with running(tiny_exo()) as server:
        page = await visit.page.context.new_page()
        await open_dashboard(page, server)
        await expect(page.locator("#footer")).not_to_contain_text("servers")
        await page.close()


async def test_nodes_show_what_they_report_and_unknown_where_they_report_nothing(visit: Visit) -> None:
    page = visit.page
    async with running(SimulatedExo(default_scenario(), seed=1)) as server:
        await open_dashboard(page, server)
        await expect(page.locator("[data-node]")).to_have_count(4)
        spark = page.locator(f'[data-node="{server.exo.control.node_id("spark-7f21")}"]')
        for name in ("GPU", "CPU", "Temp.", "Power"):
            value = spark.locator(f'dt:text-is("{name}") + dd')
            await expect(value).to_have_text("\N{EN DASH}unknown")
        studio = page.locator(f'[data-node="{server.exo.control.node_id("Mac Studio 1")}"]')
        await expect(studio).to_contain_text("of 512.0 GiB used")
        await expect(studio.locator('dt:text-is("Temp.") + dd')).to_contain_text("°C")
        await expect(studio).to_have_attribute("data-status", "ONLINE")
        download = page.locator("[data-download][data-status=DOWNLOADING]")
        await expect(download).to_contain_text("MiB/s")
        await expect(download).to_contain_text("left")


async def test_a_swap_is_previewed_confirmed_and_followed_step_by_step(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(speed=15)) as server:
        await open_dashboard(page, server)
        await ready(server, page, HALF)
        await page.get_by_role("button", name="Swap half", exact=True).click()
        await choose(page, OTHER_HALF)
        way = page.locator('[data-way="PIPELINE MLX_RING"]')
        await expect(way).to_have_attribute("data-fits", "true")
        await expect(way.get_by_role("meter", name="Memory in use after")).to_have_count(2)
        await expect(way).to_contain_text("→")
        dialog = page.locator("#load-dialog")
        await expect(dialog).to_contain_text("Automatic: Tensor over sockets (ring) on node-")
        await expect(dialog).to_contain_text(
            "half is unloaded first, before other-half is loaded: until then the cluster serves no model."
        )
        await expect(dialog).to_contain_text("No requests are running.")
        await expect(dialog).to_contain_text("Frees 9.0 GiB: 4.5 GiB on node-")
        await dialog.get_by_role("button", name="Swap", exact=True).click()
        await expect(page.get_by_role("dialog")).to_have_count(0)  # one confirmation, not two
        operation = page.locator("[data-operation]").first
        await expect(operation).to_contain_text("Swap half for other-half")
        await expect(operation).to_be_focused()
        await expect(operation).to_have_attribute("data-state", "SUCCEEDED", timeout=PATIENCE_MS)
        steps = operation.locator(".steps > li")
        assert await steps.locator("strong").all_text_contents() == [
            "plan",
            "download",
            "drain",
            "unload",
            "memory",
            "place",
            "load",
        ]
        for step in await steps.all():
            assert await step.get_attribute("data-state") in {"SUCCEEDED", "SKIPPED"}
        await shown(model_row(page, OTHER_HALF, "READY"))
        await expect(model_row(page, HALF)).to_have_count(0)
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert visit.problems == []


async def test_a_plan_that_does_not_fit_says_why_and_what_would_and_an_outdated_one_is_not_done(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(speed=15)) as server:
        await open_dashboard(page, server)
        await ready(server, page, HALF)
        await page.get_by_role("button", name="Load model…").click()
        await choose(page, OTHER_HALF)
        dialog = page.locator("#load-dialog")
        await expect(page.locator('[data-way="PIPELINE MLX_RING"]')).to_contain_text("does not fit")
        await expect(dialog).to_contain_text("needs 10.0 GiB")
        await dialog.get_by_role("button", name="Load", exact=True).click()
        assert len((await ask(server, "{ operations { id } }"))["operations"]) == 1  # the first load
        await dialog.get_by_role("button", name="Unload half for it").click()
        await expect(dialog).to_contain_text("half is unloaded first")

        changed = False

        async def change_the_cluster(route: Any) -> None:
            nonlocal changed
            if not changed and "mutation ApplyPlan" in (route.request.post_data or ""):
                changed = True
                answer = await ask(server, 'mutation { unloadModel(model: "half") { operation { id } } }')
                unload = answer["unloadModel"]["operation"]["id"]
                # Until it has ended, a plan is to wait for the memory, which is another plan a moment later.
                await ask(server, f'{{ operation(id: "{unload}", waitSeconds: 60) {{ state }} }}')
                await expect(model_row(page, HALF)).to_have_count(0)
            await route.continue_()

        await page.route("**/graphql", change_the_cluster)
        await dialog.get_by_role("button", name="Swap", exact=True).click()
        await expect(dialog.get_by_role("alert")).to_contain_text("changed")
        await expect(dialog).not_to_contain_text("half is unloaded first")
        await dialog.get_by_role("button", name="Load", exact=True).click()
        await shown(model_row(page, OTHER_HALF, "READY"))
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert visit.problems == []


async def test_an_unload_that_is_not_confirmed_is_not_done(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(speed=15)) as server:
        await open_dashboard(page, server)
        await ready(server, page, A)
        await page.get_by_role("button", name="Unload tiny-a").click()
        question = page.get_by_role("dialog", name="Unload tiny-a?")
        await expect(question).to_contain_text("No requests are running.")
        await expect(question).to_contain_text("Nothing else is ready: the cluster then serves no model.")
        await question.get_by_role("button", name="Cancel").click()
        await expect(question).to_have_count(0)
        assert len((await ask(server, "{ operations { id } }"))["operations"]) == 1
        await page.get_by_role("button", name="Unload tiny-a").click()
        await question.get_by_role("button", name="Unload", exact=True).click()
        await expect(model_row(page, A)).to_have_count(0, timeout=PATIENCE_MS)
        await shown(page.get_by_text("No model is loaded."))


async def test_a_running_operation_can_be_cancelled(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(speed=0.4)) as server:
        await open_dashboard(page, server)
        await ask(server, f'mutation {{ loadModel(model: "{A}") {{ operation {{ id }} }} }}')
        operation = page.locator("[data-operation]")
        await operation.get_by_role("button", name="Cancel: Load tiny-a").click()
        await expect(operation).to_have_attribute("data-state", "CANCELLED", timeout=PATIENCE_MS)
        await expect(operation.get_by_role("button", name="Cancel")).to_have_count(0)
        # One line, until its steps are opened.
        await expect(operation.locator(".steps")).to_be_hidden()
        await operation.get_by_text("Steps").click()
        await expect(operation.locator(".steps")).to_be_visible()


async def test_a_failure_is_shown_with_its_reason(visit: Visit) -> None:
    page = visit.page
    exo = SimulatedExo(tiny_scenario(), speed=10, seed=1, faults=[Fault("load-fails", A)])
    async with running(exo) as server:
        await open_dashboard(page, server)
        await ask(server, f'mutation {{ loadModel(model: "{A}") {{ operation {{ id }} }} }}')
        await shown(model_row(page, A, "FAILED"))
        # Not red: exo tries again by itself.
        await expect(model_row(page, A).locator(".warning")).to_contain_text(
            re.compile(r"on node-[12], attempt \d\): Runner error")
        )
        operation = page.locator("[data-operation]")
        await expect(operation).to_have_attribute("data-state", "FAILED", timeout=PATIENCE_MS)


async def test_exo_out_of_reach_is_marked_and_heals(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(), lost_after=0.5, normal_pause=0.1, fast_pause=0.1) as server:
        await open_dashboard(page, server)
        server.exo.control.drop_connections = True
        await expect(page.locator("body")).to_have_attribute("data-stale", "", timeout=PATIENCE_MS)
        await connected(page)  # to this server, which says that exo is gone
        await expect(page.locator("#banner")).to_contain_text(re.compile(r"The shown state is from .*, \d+ s ago\."))
        await expect(page.locator("#banner")).to_contain_text("http://demo.exo.local: exo cannot be reached.")
        load = page.get_by_role("button", name="Load model…")
        await expect(load).to_be_disabled()
        await expect(load).to_have_attribute("title", "exo does not answer with a new state.")
        await expect(page.locator("#health")).to_have_text("exo unreachable")
        await expect(page.locator("[data-node]")).to_have_count(2)
        server.exo.control.drop_connections = False
        await expect(page.locator("#health")).to_have_text("Healthy", timeout=PATIENCE_MS)
        await expect(page.locator("body")).not_to_have_attribute("data-stale", "")
        await expect(load).to_be_enabled()
        await expect(page.locator("#demo")).to_be_visible()
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert visit.problems == []


async def test_a_server_that_has_never_reached_exo_says_so(visit: Visit) -> None:
    page = visit.page
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with running(demo=False, exo_url=(f"http://127.0.0.1:{port}",)) as server:
        await page.goto(f"http://127.0.0.1:{server.port}/")
        await expect(page.locator("#health")).to_have_text("Waiting for exo", timeout=PATIENCE_MS)
        await expect(page.locator("#banner")).to_contain_text(f"http://127.0.0.1:{port}: exo cannot be reached.")
        await expect(page.locator("#banner")).to_contain_text("--exo-url")
        await connected(page, "false")
    assert visit.foreign == []


async def test_a_dead_node_is_marked_then_gone(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(speed=0.5), unseen_after=3.0, idle_pause=1.0, normal_pause=0.1) as server:
        await open_dashboard(page, server)
        node = page.locator(f'[data-node="{server.exo.control.node_id("node-2")}"]')
        await expect(node).to_have_attribute("data-status", "ONLINE")
        server.exo.control.kill_node("node-2")
        await expect(node).to_have_attribute("data-status", "STALE", timeout=PATIENCE_MS)
        await expect(node).to_contain_text("Last seen at")
        await expect(page.locator("#health")).to_have_text("Unhealthy")
        await expect(page.locator("#banner")).to_contain_text("node-2")
        server.exo.control.advance(10)
        await expect(node).to_have_count(0, timeout=PATIENCE_MS)
        await expect(page.locator("#spoken")).to_contain_text("node-2 has left.")


@asynccontextmanager
async def _process(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """The installed command, as an operator runs it; answers when this is entered."""
    command = (
        sys.executable,
        "-c",
        "from exo_graphql.main import main; main()",
        "serve",
        "--demo",
        "--port",
        str(port),
    )
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with asyncio.timeout(PATIENCE), httpx.AsyncClient(trust_env=False) as client:
            while True:
                try:
                    await client.get(f"http://127.0.0.1:{port}/readyz")
                    break
                except httpx.TransportError:
                    assert process.returncode is None, "the server did not start"
                    await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_of_the_server_is_seen_and_heals_itself(visit: Visit, ending: signal.Signals) -> None:
    page = visit.page
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with _process(port) as first:
        await page.goto(f"http://127.0.0.1:{port}/")
        await connected(page)
        nodes = await page.locator("[data-node]").evaluate_all("rows => rows.map(row => row.dataset.node)")
        await page.evaluate("window.samePage = true")
        os.kill(first.pid, ending)
        await first.wait()
        await connected(page, "false")
        await expect(page.locator("#health")).to_have_text("Disconnected")
        await shown(page.get_by_role("button", name="Try now"))
        # What was last seen stays, under the warning.
        await expect(page.locator("[data-node]")).to_have_count(4)
    async with _process(port):
        await connected(page)
        await expect(page.locator("#health")).to_have_text("Healthy")
        await expect(page.locator("[data-node]")).to_have_count(4)
        now = await page.locator("[data-node]").evaluate_all("rows => rows.map(row => row.dataset.node)")
        assert set(now).isdisjoint(nodes)  # another exo's: what is shown is new
        assert await page.evaluate("window.samePage") is True
        await expect(page.locator("#banner")).to_be_hidden()


async def test_a_token_is_asked_for_and_one_that_may_only_read_shows_no_actions(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(speed=15), tokens="operate:open-sesame,read:just-looking") as server:
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(f"http://127.0.0.1:{server.port}/")
        await shown(page.get_by_role("dialog", name="Token required"))
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.locator("#health")).to_have_text("Token required")
        await connected(page, "false")
        await page.get_by_role("button", name="Enter token").click()
        await page.get_by_label("Token", exact=True).fill("just-looking")
        async with page.expect_response(lambda response: "MayChange" in (response.request.post_data or "")):
            await page.get_by_role("button", name="Use token").click()
        await connected(page)
        await expect(page.get_by_role("button", name="Forget token")).to_be_visible()
        # What would be refused is not shown.
        await expect(page.locator("[data-operate]:visible")).to_have_count(0)
        await page.get_by_role("button", name="Forget token").click()
        await page.get_by_label("Token", exact=True).fill("open-sesame")
        await page.get_by_role("button", name="Use token").click()
        await page.get_by_role("button", name="Load model…").click()
        await choose(page, A)
        await page.locator("#load-dialog").get_by_role("button", name="Load", exact=True).click()
        await shown(model_row(page, A, "READY"))
        assert "sesame" not in await page.evaluate("JSON.stringify(localStorage) + document.cookie + location.href")

        # Kept for the other tabs, and for later, only where the user asks for it.
        await page.get_by_role("button", name="Forget token").click()
        await page.get_by_label("Token", exact=True).fill("open-sesame")
        await page.get_by_label("Keep it in this browser").check()
        await page.get_by_role("button", name="Use token").click()
        await connected(page)
        other = await page.context.new_page()
        await open_dashboard(other, server)
        await other.get_by_role("button", name="Forget token").click()
        await shown(other.get_by_role("dialog", name="Token required"))
        assert await other.evaluate("localStorage.length + sessionStorage.length") == 0


async def test_a_read_only_server_shows_no_actions(visit: Visit) -> None:
    page = visit.page
    exo = SimulatedExo(replace(tiny_scenario(), ready={A: ("node-1",)}), seed=1)
    async with running(exo, read_only=True) as server:
        await open_dashboard(page, server)
        await shown(model_row(page, A, "READY"))
        await expect(page.get_by_role("button")).to_have_count(0)
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert visit.problems == []


async def test_names_from_the_cluster_are_text(visit: Visit) -> None:
    page = visit.page
    scenario = tiny_scenario()
    evil = "<img src=x onerror=alert(1)>"
    machines = (replace(scenario.machines[0], name=evil), *scenario.machines[1:])
    scenario = replace(scenario, machines=machines, api=evil, weights={})
    async with running(SimulatedExo(scenario, seed=1)) as server:
        await open_dashboard(page, server)
        await expect(page.get_by_role("heading", name=evil)).to_have_count(1)
        await expect(page.locator("main img")).to_have_count(0)
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert visit.problems == []


async def test_the_keyboard_suffices(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(speed=15)) as server:
        await open_dashboard(page, server)
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the models")).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("button", name="Load model…")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog").get_by_label("Search the catalogue")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.get_by_role("button", name="Load model…")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.type("tiny-a")
        await expect(page.locator("[data-choice]")).to_have_count(1)
        await page.keyboard.press("Tab")
        await page.keyboard.press("Space")
        await page.keyboard.press("Enter")
        await shown(model_row(page, A, "READY"))
        await expect(page.locator("#spoken")).to_contain_text("Load tiny-a: succeeded.")


async def test_a_request_without_an_answer_is_sent_again_under_the_same_key_and_happens_once(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(speed=2)) as server:
        await open_dashboard(page, server)
        cut = True

        async def lose_the_answer(route: Any) -> None:
            if cut and "mutation ApplyPlan" in (route.request.post_data or ""):
                await route.fetch()  # it arrives and is done
                await route.abort()
            else:
                await route.continue_()

        await page.route("**/graphql", lose_the_answer)
        await page.get_by_role("button", name="Load model…").click()
        await choose(page, A)
        load = page.locator("#load-dialog").get_by_role("button", name="Load", exact=True)
        await load.click()
        await expect(page.locator("#load-dialog").get_by_role("alert")).to_contain_text("The server does not answer.")
        cut = False
        await load.click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await shown(model_row(page, A, "READY"))
        assert len((await ask(server, "{ operations { id } }"))["operations"]) == 1


async def test_on_a_phone_nothing_is_cut_off_and_nothing_scrolls_sideways(visit: Visit) -> None:
    page = visit.page
    await page.set_viewport_size({"width": 375, "height": 667})
    async with running(SimulatedExo(default_scenario(), speed=5, seed=1)) as server:
        await open_dashboard(page, server)
        assert await page.evaluate("document.documentElement.scrollWidth") == 375
        await page.get_by_role("button", name="Load model…").click()
        await choose(page, "mlx-community/Kimi-K2.5")
        await shown(page.locator("[data-way]").first)
        content = page.locator("#load-dialog .content")
        assert await content.evaluate("element => element.scrollWidth <= element.clientWidth")
        await expect(page.locator("#load-dialog").get_by_role("button", name="Load", exact=True)).to_be_in_viewport(
            ratio=1
        )
        await page.locator("#load-dialog").get_by_role("button", name="Load", exact=True).click()
        operation = page.locator("[data-operation]")
        await expect(operation).to_be_in_viewport(timeout=PATIENCE_MS)
        assert await page.evaluate("document.documentElement.scrollWidth") == 375


async def test_it_follows_the_systems_colours(visit: Visit) -> None:
    page = visit.page
    brightness = """() => {
      const { backgroundColor, color } = getComputedStyle(document.body);
      const mean = (colour) => colour.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3;
      return [mean(backgroundColor), mean(color)];
    }"""
    async with running(tiny_exo()) as server:
        await page.emulate_media(color_scheme="light")
        await open_dashboard(page, server)
        light_page, light_ink = await page.evaluate(brightness)
        await page.emulate_media(color_scheme="dark")
        dark_page, dark_ink = await page.evaluate(brightness)
    assert light_page > 200 > 80 > light_ink
    assert dark_page < 60 < 200 < dark_ink


async def test_a_closed_page_leaves_no_subscriber(visit: Visit) -> None:
    async with running(tiny_exo()) as server:
        await open_dashboard(visit.page, server)
        assert server.components.service.live.subscriber_count == 1
        await visit.page.goto("about:blank")
        await until(lambda: server.components.service.live.subscriber_count == 0)


async def test_a_hidden_page_closes_its_connection_until_it_is_shown_again(visit: Visit) -> None:
    page = visit.page
    await page.clock.install()
    async with running(tiny_exo()) as server:
        await open_dashboard(page, server)
        await _hide(page, hidden=True)
        await page.clock.fast_forward(61_000)
        await until(lambda: server.components.service.live.subscriber_count == 0)
        await connected(page, "false")
        await _hide(page, hidden=False)
        await connected(page)
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert visit.problems == []


async def _hide(page: Page, *, hidden: bool) -> None:
    await page.evaluate(
        """hidden => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


async def test_a_connection_on_which_nothing_comes_is_given_up_and_made_anew(visit: Visit) -> None:
    page = visit.page
    streams: list[str] = []
    page.on(
        "request", lambda request: streams.append(request.url) if "Dashboard" in (request.post_data or "") else None
    )
    await page.clock.install()
    async with running(tiny_exo(speed=0.001), keep_alive=600.0) as server:
        await open_dashboard(page, server)
        assert len(streams) == 1
        await page.evaluate(
            """() => {
              window.shown = [];
              const health = document.getElementById("health");
              const note = () => window.shown.push(health.textContent);
              new MutationObserver(note).observe(health, { childList: true, characterData: true, subtree: true });
            }"""
        )
        await page.clock.fast_forward(41_000)
        # It connects again after a second: what it has shown until then is noted, however late anybody looks.
        await page.wait_for_function("window.shown.some(text => text.includes('Disconnected'))")
        await page.clock.fast_forward(1_000)
        await connected(page)
    assert len(streams) == 2
