"""The dashboard's deployments in a real Chromium: each action is seen in the page and in the API."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from exo_graphql.simulator import Fault, SimulatedExo, tiny_scenario
from tests.support.chromium import Visit, expect
from tests.support.dashboard import ask, choose, model_row, open_dashboard, ready, tiny_exo
from tests.support.running import Running, running, until

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

A, B = "test/tiny-a", "test/tiny-b"
HALF, OTHER_HALF, HUGE = "test/half", "test/other-half", "test/huge"


def _row(page: Page, name: str, state: str = "") -> Locator:
    return page.locator(f'[data-deployment="{name}"]' + (f'[data-state="{state}"]' if state else ""))


def _button(page: Page, act: str, name: str) -> Locator:
    return page.get_by_role("button", name=f"{act} {name}", exact=True)


async def _applied(server: Running, name: str, model: str, more: str = "") -> None:
    mutation = f'applyDeployment(name: "{name}", model: "{model}"{more})'
    answer = await ask(server, f"mutation {{ {mutation} {{ error {{ message }} }} }}")
    assert answer["applyDeployment"]["error"] is None


async def _deployments(server: Running, fields: str = "name") -> Any:
    return (await ask(server, f"{{ deployments {{ {fields} }} }}"))["deployments"]


async def _until_api(server: Running, name: str, **expected: object) -> None:
    """Waits until the API gives these values of a deployment, as Python names and values."""
    kept = server.components.deployments

    def holds() -> bool:
        found = kept.get(name)
        values = {} if found is None else {"state": found.state.value, "ready": found.ready}
        return values.items() >= expected.items()

    await until(holds)


async def test_one_is_created_after_its_plan_was_shown_and_changed_by_the_same_form(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(speed=15)) as server:
        await open_dashboard(page, server)
        await expect(page.get_by_text("No deployments.")).to_be_visible()
        await page.get_by_role("button", name="New deployment…").click()
        dialog = page.get_by_role("dialog", name="New deployment")
        await dialog.get_by_label("Name", exact=True).fill("night")
        await choose(page, A)
        await dialog.get_by_role("button", name="Add a window").click()
        window = dialog.get_by_role("group", name="Window 1")
        await window.get_by_label("Days").select_option("Every day")
        await window.get_by_label("Opens at").fill("00:00")
        await window.get_by_label("Hours").fill("24")
        await window.get_by_label("Time zone").fill("UTC")
        await window.get_by_label("Loaded early").check()
        await dialog.get_by_role("button", name="Preview plan").click()
        plan = dialog.get_by_role("status").filter(has_text="Plan")
        await expect(plan).to_contain_text("Load")
        await expect(plan).to_contain_text(f"load {A}")
        assert await _deployments(server) == []
        # A plan is of what was typed when it was made.
        await dialog.get_by_label("Priority").fill("3")
        await expect(plan).to_be_hidden()
        await dialog.get_by_role("button", name="Preview plan").click()
        await dialog.get_by_role("button", name="Apply").click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(_row(page, "night", "READY")).to_contain_text("Wanted now")
        await expect(_row(page, "night")).to_contain_text("Every day at 00:00 for 24 h (UTC), ready by then")
        fields = "modelId replicas priority generation schedule { cron durationMinutes timeZone readyBy }"
        (made,) = await _deployments(server, fields)
        schedule = [{"cron": "0 0 * * *", "durationMinutes": 1440, "timeZone": "UTC", "readyBy": True}]
        assert made == {"modelId": A, "replicas": 1, "priority": 3, "generation": 1, "schedule": schedule}

        await _button(page, "Edit", "night").click()
        dialog = page.get_by_role("dialog", name="Edit night")
        await expect(dialog.locator(f'[data-choice="{A}"]').get_by_role("radio")).to_be_checked()
        await dialog.get_by_label("Replicas").fill("2")
        await dialog.get_by_role("button", name="Preview plan").click()
        await expect(dialog.locator(".plan")).to_contain_text("replicas: 1 → 2")
        await dialog.get_by_role("button", name="Apply").click()
        await expect(_row(page, "night", "READY")).to_contain_text("2 of 2 replicas ready")
        (made,) = await _deployments(server, fields)
        assert made == {"modelId": A, "replicas": 2, "priority": 3, "generation": 2, "schedule": schedule}
        await page.close()  # its stream breaks off when the server stops, which a browser calls an error
    assert visit.problems == []
    assert visit.foreign == []


async def test_a_form_that_was_overtaken_changes_nothing(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(speed=15)) as server:
        await _applied(server, "day", A)
        await open_dashboard(page, server)
        await page.get_by_role("button", name="New deployment…").click()
        dialog = page.get_by_role("dialog", name="New deployment")
        await dialog.get_by_label("Name", exact=True).fill("day")
        await choose(page, B)
        await dialog.get_by_role("button", name="Preview plan").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("is of generation 1, not 0")
        # An invalid field in a folded part is shown, and nothing is sent.
        await dialog.get_by_text("Nodes and other settings").click()
        await dialog.get_by_label("Minimum number of nodes").fill("0")
        await dialog.get_by_text("Nodes and other settings").click()
        await expect(dialog.get_by_label("Minimum number of nodes")).to_be_hidden()
        await dialog.get_by_role("button", name="Preview plan").click()
        await expect(dialog.get_by_label("Minimum number of nodes")).to_be_visible()
        assert await _deployments(server, "name modelId") == [{"name": "day", "modelId": A}]


async def test_pausing_until_a_time_and_resuming(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(speed=15)) as server:
        await _applied(server, "day", A)
        await open_dashboard(page, server)
        await expect(_row(page, "day", "READY")).to_contain_text("Wanted at all times.")
        await _button(page, "Pause", "day").click()
        question = page.get_by_role("dialog", name="Pause day?")
        await question.get_by_label("A time").check()
        until_year = datetime.now(UTC).year + 1
        await question.get_by_label("Paused until").fill(f"{until_year}-05-04T06:00")
        await question.get_by_role("button", name="Pause", exact=True).click()
        await expect(_row(page, "day", "PAUSED")).to_contain_text(re.compile(r"Paused until \w+ 4 May"))
        (paused,) = await _deployments(server, "state pausedUntil")
        assert paused["state"] == "PAUSED"
        assert paused["pausedUntil"].startswith(f"{until_year}-05-0")
        await _button(page, "Resume", "day").click()
        await expect(_row(page, "day", "READY")).to_be_visible()
        assert await _deployments(server, "state pausedUntil") == [{"state": "READY", "pausedUntil": None}]
        await expect(_button(page, "Resume", "day")).to_be_hidden()


@pytest.mark.parametrize("keep", [True, False])
async def test_deleting_says_what_is_unloaded_and_may_keep_it(visit: Visit, *, keep: bool) -> None:
    page = visit.page
    async with running(tiny_exo(speed=15)) as server:
        await _applied(server, "day", A)
        await open_dashboard(page, server)
        await expect(_row(page, "day", "READY")).to_be_visible()
        await _button(page, "Delete", "day").click()
        question = page.get_by_role("dialog", name="Delete day?")
        await expect(question).to_contain_text(re.compile(r"tiny-a, Pipeline over sockets \(ring\) on node-[12]"))
        await question.get_by_label("Keep it loaded" if keep else "Unload it").check()
        await question.get_by_role("button", name="Delete", exact=True).click()
        await expect(_row(page, "day")).to_have_count(0)
        assert await _deployments(server) == []
        await expect(model_row(page, A)).to_have_count(1 if keep else 0)
        loaded = (await ask(server, "{ models(loaded: true) { id } }"))["models"]
        assert loaded == ([{"id": A}] if keep else [])


async def test_an_unload_by_a_person_says_which_deployment_it_has_paused(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(speed=15)) as server:
        await _applied(server, "day", A)
        await open_dashboard(page, server)
        await expect(_row(page, "day", "READY")).to_be_visible()
        await page.get_by_role("button", name="Unload tiny-a").click()
        await page.get_by_role("dialog").get_by_role("button", name="Unload", exact=True).click()
        notice = page.locator("#notice")
        await expect(notice).to_contain_text("This has paused the deployment day (until you resume it).")
        await expect(_row(page, "day", "PAUSED")).to_contain_text("A person unloaded its model.")
        await _until_api(server, "day", state="PAUSED")
        await notice.get_by_role("button", name="Dismiss").click()
        await expect(notice).to_be_hidden()


async def test_why_one_is_not_ready_is_shown(visit: Visit) -> None:
    page = visit.page
    exo = SimulatedExo(tiny_scenario(), speed=15, seed=1, faults=[Fault("load-fails", A)])
    async with running(exo) as server:
        await _applied(server, "broken", A)
        await _applied(server, "huge", HUGE)
        await open_dashboard(page, server)
        await expect(_row(page, "huge", "UNSATISFIABLE")).to_contain_text("test/huge needs 2080.0 GiB")
        broken = _row(page, "broken", "RETRYING")
        await expect(broken).to_contain_text("Runner error")
        await expect(broken.locator(".failure")).to_contain_text(
            re.compile(r"Last failure .*\d.*\. \d attempts? so far\. Next attempt at \d")
        )
        await expect(page.locator("#summary")).to_contain_text("0 of 2")
        states = {each["name"]: each["state"] for each in await _deployments(server, "name state")}
        assert states == {"broken": "RETRYING", "huge": "UNSATISFIABLE"}


async def test_what_a_file_declares_can_be_paused_and_not_changed(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    file = tmp_path / "deployments.toml"
    file.write_text(f'[deployments.filed]\nmodel = "{A}"\n', encoding="utf-8")
    async with running(tiny_exo(speed=15), deployments=file) as server:
        await open_dashboard(page, server)
        row = _row(page, "filed", "READY")
        await expect(row).to_contain_text("declared in the server's file")
        await expect(row.get_by_role("button")).to_have_text(["Pause…"])
        await _button(page, "Pause", "filed").click()
        await page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True).click()
        await expect(_row(page, "filed", "PAUSED").get_by_role("button")).to_have_text(["Resume"])
        await _until_api(server, "filed", state="PAUSED")


async def test_the_calendar_shows_who_serves_when_gaps_conflicts_and_daylight_saving(visit: Visit) -> None:
    page = visit.page
    await page.clock.set_fixed_time("2026-03-27T12:00:00Z")
    async with running(tiny_exo(speed=15)) as server:
        window = '[{{cron: "{}", durationMinutes: {}, timeZone: "Europe/Berlin"}}]'
        await _applied(server, "night", HALF, f", schedule: {window.format('0 23 * * *', 420)}")
        # On Saturday and Sunday nothing is wanted by day.
        await _applied(server, "day", OTHER_HALF, f", schedule: {window.format('0 6 * * 1-5', 1020)}")
        await _applied(server, "late", B, f", schedule: {window.format('0 23 * * 1-5', 60)}")
        await open_dashboard(page, server)
        calendar = page.locator(".calendar")
        await expect(calendar).to_have_attribute("data-loaded", "true")
        lanes = calendar.locator("[data-lane]")
        assert await lanes.evaluate_all("lanes => lanes.map(lane => lane.dataset.lane)") == [
            "nothing wanted",
            "day",
            "late",
            "night",
        ]
        # The night of 29 March loses an hour: 7 h from 23:00 end at 7:00.
        await expect(calendar.locator('.notes [data-kind="note"]')).to_contain_text("clocks go forward")
        await expect(calendar.locator('.notes [data-kind="gap"]')).to_contain_text("nothing is wanted")
        await calendar.get_by_text("All changes").click()
        changes = calendar.locator(".changes")
        await expect(changes).to_contain_text("Unload half (night). Load other-half (day).")
        # One that does not fit beside another appears with its reason, without the page being loaded anew.
        await _applied(server, "huge", HUGE)
        await expect(calendar.locator('.notes [data-kind="conflict"]')).to_contain_text(["huge does not fit"])
        await expect(calendar.locator('[data-lane="does not fit"]')).to_have_count(1)


async def test_a_calendar_of_thirty_is_answered(visit: Visit) -> None:
    page = visit.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data or ""))
    async with running(SimulatedExo(seed=1)) as server:
        ids = [each["id"] for each in (await ask(server, "{ models { id } }"))["models"]][:30]
        for number, model in enumerate(ids):
            schedule = f'[{{cron: "0 {number % 24} * * *", durationMinutes: 30, timeZone: "UTC"}}]'
            await _applied(server, f"d-{number}", model, f", schedule: {schedule}")
        await open_dashboard(page, server)
        await expect(page.locator(".calendar")).to_have_attribute("data-loaded", "true")
        await expect(page.locator(".calendar [data-lane]")).to_have_count(32)  # and where nothing is wanted

        # Not again and again: once, since nothing has changed.
        assert sum("query Calendar" in each for each in asked) == 1


async def test_the_keyboard_suffices_for_a_deployment(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(speed=15)) as server:
        await open_dashboard(page, server)
        await page.get_by_role("button", name="New deployment…").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog").get_by_label("Name", exact=True)).to_be_focused()
        await page.keyboard.type("day")
        await page.keyboard.press("Tab")
        await page.keyboard.type("tiny-a")
        await expect(page.locator("[data-choice]")).to_have_count(1)
        await page.keyboard.press("Tab")
        await page.keyboard.press("Space")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Apply")).to_be_visible()
        await page.keyboard.press("Enter")
        await expect(_row(page, "day", "READY")).to_be_visible()
        await expect(page.get_by_role("button", name="New deployment…")).to_be_focused()


async def test_a_foreign_copy_is_not_said_to_be_unloaded_with_its_deployment(visit: Visit) -> None:
    page = visit.page
    async with running(tiny_exo(speed=15)) as server:
        await open_dashboard(page, server)
        await ready(server, page, A)
        await _applied(server, "later", A, ', schedule: [{cron: "0 0 29 2 *", durationMinutes: 60, timeZone: "UTC"}]')
        await expect(_row(page, "later", "OFF")).to_contain_text("opening")
        await _button(page, "Delete", "later").click()
        question = page.get_by_role("dialog", name="Delete later?")
        await expect(question).to_contain_text("nothing is unloaded")
        await question.get_by_role("button", name="Delete", exact=True).click()
        await expect(_row(page, "later")).to_have_count(0)
        await expect(model_row(page, A, "READY")).to_be_visible()
