"""GraphiQL in a real Chromium, over the real server and a simulated exo: its first tabs, examples and tools."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from graphql import OperationDefinitionNode, parse
from graphql.execution.values import get_variable_values

from exo_graphql.schema.build import build_schema
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from exo_graphql.simulator.scenario import Traffic
from tests.support.axe import violations
from tests.support.chromium import Visit, expect
from tests.support.dashboard import PATIENCE_MS, ask
from tests.support.node_tools import NodeTools
from tests.support.running import Running, running

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

A = "test/tiny-a"
# GraphiQL 4's own: the cross in a tab, and CodeMirror's lines.
ITS_OWN = {"nested-interactive", "scrollable-region-focusable"}

FILLED = """async () => {
  const { filled, findValues } = await import("./graphiql/assets/example_values.js");
  const examples = await (await fetch("graphiql/assets/examples.json")).json();
  const values = await findValues();
  return examples.map((example) => ({ ...example, variables: filled(example, values) }));
}"""


async def _open(page: Page, server: Running) -> None:
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(server.url)
    await expect(page.get_by_role("button", name="Execute query")).to_be_visible()


async def test_the_first_tabs_work_with_values_of_this_cluster_are_measured_and_copied_as_curl(visit: Visit) -> None:
    page = visit.page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    async with running(SimulatedExo(tiny_scenario(), speed=15, seed=1)) as server:
        await _open(page, server)
        await expect(page.get_by_role("tab")).to_contain_text(["Status", "Watch", "LoadModel"])
        result, last = page.get_by_label("Result Window"), page.get_by_label("Last response")
        run = page.get_by_role("button", name="Execute query")

        await page.get_by_role("tab", name="LoadModel").click()
        await expect(page.get_by_label("Variables", exact=True)).to_contain_text('"model": "tiny-a"')
        await run.click()
        await expect(result).to_contain_text('"error": null')
        await expect(last).to_contain_text("HTTP 200 ·")
        await expect(last).to_contain_text("ms")
        assert len((await ask(server, "{ operations { id } }"))["operations"]) == 1

        await page.get_by_role("tab", name="Watch").click()
        await run.click()
        await expect(last).to_contain_text("message")
        await expect(result).to_contain_text('"loadedModelCount": 1')
        await page.get_by_role("button", name="Copy as curl").click()
        await expect(page.get_by_text("Copied")).to_be_visible()
        copied = await page.evaluate("navigator.clipboard.readText()")
        command = await asyncio.create_subprocess_shell(
            f"{copied} --max-time 2 --silent --noproxy '*'", stdout=asyncio.subprocess.PIPE
        )
        answered, _ = await command.communicate()
        assert answered.decode().startswith('event: next\ndata: {"data":{"cluster":')
        curl = "curl http://a/graphql -H 'Content-Type: application/json'"
        body = """{"query":"query A { a } query B { b }","operationName":"B","variables":{"it":"it'\\''s"}}"""
        assert await page.evaluate(
            """async () => {
              const { curlOf, wordsOf } = await import("./graphiql/assets/graphiql_tools.js");
              const query = "query A { a } query B { b }";
              const two = { query, variables: '{"it": "it\\'s"}', headers: "{", operationName: "B" };
              const own = { query: "{ a }", variables: "", headers: '{"authorization": "Bearer x"}' };
              return [
                curlOf(two, "http://a/graphql", true),
                curlOf(own, "http://a/graphql", true),
                wordsOf({ status: 400, milliseconds: 3.21, bytes: 999, messages: null }),
                wordsOf({ status: null, milliseconds: 12_345, bytes: 1_234, messages: 3 }),
              ];
            }"""
        ) == [
            f"""{curl} -H "Authorization: Bearer $EXO_GRAPHQL_TOKEN" -d '{body}'""",
            f"""{curl} -H 'authorization: Bearer x' -d '{{"query":"{{ a }}"}}'""",
            "HTTP 400 · 3.2 ms · 999 bytes",
            "message 3 · 12.3 s after the start · 1.2 kB",
        ]
    assert visit.foreign == []
    assert visit.problems == []


async def test_every_example_has_variables_that_exist_on_this_cluster(visit: Visit) -> None:
    page = visit.page
    scenario = replace(tiny_scenario(), ready={A: ("node-1", "node-2")}, traffic=(Traffic(A, every=1.0, seconds=1e6),))
    async with running(SimulatedExo(scenario, speed=0.5, seed=1)) as server:
        await ask(server, 'mutation { startDownload(model: "absent", nodes: ["node-2"]) { error { message } } }')
        await ask(server, f'mutation {{ applyDeployment(name: "day", model: "{A}") {{ error {{ message }} }} }}')
        await ask(server, 'mutation { loadModel(model: "tiny-b") { error { message } } }')
        server.exo.control.advance(2.0)
        await _open(page, server)
        found: list[dict[str, Any]] = await page.evaluate(FILLED)
    schema = build_schema()
    assert len(found) > 30
    for example in found:
        variables = json.loads(example["variables"] or "{}")
        assert not [name for name, value in variables.items() if value in ("", [""], None)], example["name"]
        (operation,) = (
            node for node in parse(example["query"]).definitions if isinstance(node, OperationDefinitionNode)
        )
        values = get_variable_values(schema, operation.variable_definitions or (), variables)
        assert not isinstance(values, list), (example["name"], values)
    by_name = {example["name"]: json.loads(example["variables"] or "{}") for example in found}
    assert by_name["UnloadModel"]["model"] == "tiny-a"
    assert by_name["CancelDownload"] == {"model": "absent", "nodes": ["node-2"]}
    assert by_name["ApplyDeployment"]["dryRun"] is True


@pytest.mark.npm
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_phone_shows_editors_and_response_below_each_other_and_breaks_no_rule_of_ours(
    visit: Visit, node_tools: NodeTools, scheme: str
) -> None:
    page = visit.page
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    async with running(SimulatedExo(tiny_scenario(), seed=1)) as server:
        await _open(page, server)
        await page.get_by_role("button", name="Execute query").click()
        await expect(page.get_by_label("Result Window")).to_contain_text("healthy")
        await page.get_by_label("Show Examples").click()
        await page.get_by_role("button", name="query Plan What").click()
        await expect(page.get_by_role("tab", name="Plan")).to_have_attribute("aria-selected", "true")
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        for area in (".graphiql-editors", ".graphiql-response", ".graphiql-plugin"):
            assert await page.locator(area).evaluate("element => element.clientWidth") > 350
        found = await violations(page, node_tools)
    assert {each.partition(":")[0] for each in found} <= ITS_OWN, found
