"""What a person can do with downloads, tasks and models on the dashboard, in a real Chromium."""

import re
from dataclasses import replace

import pytest

from exo_graphql.simulator import SimulatedExo, tiny_scenario
from exo_graphql.simulator.scenario import Traffic
from tests.support.chromium import Visit, expect
from tests.support.dashboard import PATIENCE_MS, ask, model_row, open_dashboard, shown
from tests.support.running import running

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

A, HALF = "test/tiny-a", "test/half"


async def test_downloads_of_a_model_are_one_row_and_each_can_be_paused_resumed_and_deleted(visit: Visit) -> None:
    page = visit.page
    async with running(SimulatedExo(tiny_scenario(), speed=0.2, seed=1)) as server:
        await open_dashboard(page, server)
        await ask(server, 'mutation { startDownload(model: "absent") { error { message } } }')
        server.exo.control.advance(2.0)
        row = page.locator('[data-model-download="test/absent"]')
        nodes = row.locator("[data-download]")
        await expect(nodes).to_have_count(2)
        await shown(row.get_by_text("of 2.8 GiB"))  # of both nodes together
        await row.get_by_role("button", name="Pause: absent on node-1").click()
        await expect(nodes.nth(0)).to_have_attribute("data-status", "PAUSED", timeout=PATIENCE_MS)
        await expect(nodes.nth(1)).to_have_attribute("data-status", "DOWNLOADING")
        await expect(nodes.nth(0).get_by_role("button", name="Pause")).to_be_hidden()
        await row.get_by_role("button", name="Resume: absent on node-1").click()
        await expect(nodes.nth(0)).to_have_attribute("data-status", "DOWNLOADING", timeout=PATIENCE_MS)
        await row.get_by_role("button", name="Pause all: absent").click()
        await expect(row).to_have_attribute("data-status", "PAUSED", timeout=PATIENCE_MS)

        await row.get_by_role("button", name="Delete all: absent").click()
        question = page.get_by_role("dialog", name="Delete absent from disk?")
        await question.get_by_label("node-2").uncheck()
        await question.get_by_role("button", name="Delete", exact=True).click()
        await expect(nodes).to_have_count(1, timeout=PATIENCE_MS)
        await expect(row).to_contain_text("node-2")

        await page.get_by_text("Weights on disk").click()
        weights = page.locator('[data-weights="test/tiny-a"]')
        await expect(weights).to_contain_text("2 nodes")
        await weights.get_by_role("button", name="Delete: the weights of tiny-a").click()
        question = page.get_by_role("dialog", name="Delete tiny-a from disk?")
        await question.get_by_role("button", name="Delete", exact=True).click()
        await expect(weights).to_have_count(0, timeout=PATIENCE_MS)
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert visit.problems == []


async def test_a_request_is_cancelled_an_unload_says_what_it_means_and_a_model_how_to_call_it(visit: Visit) -> None:
    page = visit.page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    names = ("node-1", "node-2")
    traffic = (Traffic(A, every=1.0, seconds=1e6), Traffic(HALF, every=1.0, seconds=1e6))
    scenario = replace(tiny_scenario(), ready={A: names, HALF: names}, traffic=traffic)
    async with running(SimulatedExo(scenario, speed=0.2, seed=1)) as server:
        await open_dashboard(page, server)
        server.exo.control.advance(2.0)
        task = page.locator("[data-task]").filter(has_text="tiny-a").first
        await task.get_by_role("button", name="Cancel: text generation of tiny-a").click()
        question = page.get_by_role("dialog", name="Cancel this request?")
        id_ = await task.get_attribute("data-task")
        await question.get_by_role("button", name="Cancel the request").click()
        await expect(page.locator(f'[data-task="{id_}"]')).to_have_count(0, timeout=PATIENCE_MS)

        await ask(server, f'mutation {{ applyDeployment(name: "day", model: "{HALF}") {{ error {{ message }} }} }}')
        await page.get_by_role("button", name="Unload half").click()
        question = page.get_by_role("dialog", name="Unload half?")
        await expect(question).to_contain_text(
            re.compile(r"(1 request is|\d requests are) running\. (It gets|They get) up to 30 s")
        )
        await expect(question).to_contain_text(
            re.compile(r"Frees 9\.0 GiB: 4\.5 GiB on node-\d, 4\.5 GiB on node-\d\.")
        )
        await expect(question).to_contain_text(
            "This pauses the deployment day."
        )  # it has adopted it while this is open
        await expect(question).not_to_contain_text("Nothing else is ready")
        await question.get_by_label("Seconds to wait for running requests").fill("5")
        await expect(question).to_contain_text("up to 5 s")
        await page.keyboard.press("Escape")

        row = model_row(page, A)
        (model, _) = (await ask(server, "{ cluster { models { contextLength storageSizeGb } } }"))["cluster"]["models"]
        await expect(row).to_contain_text(f"context of {model['contextLength']:,} tokens")
        await expect(row.locator(".shards li").first).to_contain_text("layers 0\N{EN DASH}3, 0.0 GiB")
        await row.get_by_text("How to call it").click()
        await row.get_by_role("button", name="Copy curl").click()
        await shown(row.get_by_text("Copied"))
        copied = await page.evaluate("navigator.clipboard.readText()")
        json = "-H 'Content-Type: application/json'"
        chat = '{"model":"test/tiny-a","messages":[{"role":"user","content":"Hello"}]}'
        assert copied == f"curl http://demo.exo.local/v1/chat/completions {json} -d '{chat}'"
        # A page on plain HTTP has no navigator.clipboard.
        await page.evaluate("""window.read = navigator.clipboard.readText.bind(navigator.clipboard);
            Object.defineProperty(navigator, "clipboard", { value: undefined })""")
        await row.get_by_role("button", name="Copy address").click()
        await page.wait_for_function("read().then((text) => text === 'http://demo.exo.local/v1')")
        await shown(row.get_by_text("The cluster is simulated: nothing answers there."))
        assert await page.evaluate(
            """async () => {
              const { addressOf, commandOf } = await import("./dashboard/assets/calling.js");
              const image = { id: "it's", capabilities: ["image_gen"] };
              return [
                addressOf("http://127.0.0.1:52415", "studio.local"),
                addressOf("http://127.0.0.1:52415", "localhost"),
                addressOf("http://[::1]:52415/", "10.0.0.7"),
                addressOf("https://exo.example:8443/", "studio.local"),
                commandOf(image, "http://a"),
                commandOf({ id: "b", capabilities: ["image_edit"] }, "http://a"),
                commandOf({ id: "c", capabilities: [] }, "http://a"),
              ];
            }"""
        ) == [
            "http://studio.local:52415",
            "http://127.0.0.1:52415",
            "http://10.0.0.7:52415",
            "https://exo.example:8443",
            f"curl http://a/v1/images/generations {json} " + """-d '{"model":"it'\\''s","prompt":"A lighthouse"}'""",
            "curl http://a/v1/images/edits -F model=b -F image=@picture.png -F 'prompt=Make it night'",
            f"curl http://a/v1/chat/completions {json} -d '" + chat.replace("test/tiny-a", "c") + "'",
        ]
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert visit.problems == []


async def test_the_catalogue_begins_with_what_could_serve_soonest_and_arrow_keys_choose(visit: Visit) -> None:
    page = visit.page
    async with running(SimulatedExo(tiny_scenario(), seed=1)) as server:
        await open_dashboard(page, server)
        await page.get_by_role("button", name="Load model…").click()
        choices = page.locator("#load-dialog [data-choice]")
        await expect(choices).to_have_count(7)
        names = await choices.evaluate_all("rows => rows.map(row => row.dataset.choice)")
        assert names[-2:] == ["test/absent", "test/huge"]
        await expect(choices.last).to_contain_text("not downloaded · does not fit now")
        await shown(page.get_by_text("7 models, 5 of them downloaded and fitting now."))
        await page.keyboard.press("ArrowDown")
        await expect(choices.nth(0).get_by_role("radio")).to_be_checked()
        await page.keyboard.press("ArrowDown")
        await expect(choices.nth(1).get_by_role("radio")).to_be_checked()
        await page.keyboard.press("ArrowUp")
        await page.keyboard.press("ArrowUp")
        await expect(page.get_by_role("searchbox")).to_be_focused()
        assert await page.evaluate(
            """async () => {
              const { ranked } = await import("./dashboard/assets/catalogue.js");
              const model = (_, number) => ({ id: `m${number}`, downloads: number % 2 ? [] : [1] });
              const many = Array.from({ length: 500 }, model);
              const order = ranked(many, new Set(["m3", "m4"])).map(({ id }) => id);
              return [order.length, ...order.slice(0, 3), order.at(-1)];
            }"""
        ) == [500, "m4", "m3", "m0", "m499"]
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert visit.problems == []
