"""GraphiQL in a real Chromium, on a small GraphQL server below a root path."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import strawberry
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from strawberry.exceptions import ConnectionRejectionError
from strawberry.fastapi import GraphQLRouter
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from exo_graphql.web import graphiql_page, page_routes
from tests.support.chromium import Visit, expect

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

OPERATIONS = {
    "greet.graphql": "# Greets somebody by name.\nquery Greet($name: String!) { greeting(name: $name) }\n",
    "status.graphql": "query Status { greeting }\n",
    "watch.graphql": "subscription Watch($to: Int = 3) { count(to: $to) }\n",
}


def _greeting(name: str = "nobody") -> str:
    return f"Good day, {name}."


async def _count(to: int) -> AsyncGenerator[str, None]:
    for number in range(1, to + 1):
        yield f"{number} of {to}"


@strawberry.type
class Query:
    """One field to ask."""

    greeting: str = strawberry.field(resolver=_greeting, description="Greets somebody by name.")


@strawberry.type
class Subscription:
    """One field to follow."""

    count: AsyncGenerator[str, None] = strawberry.subscription(resolver=_count, description="Counts from 1.")


class Router(GraphQLRouter[Any, None]):
    """Requires the bearer token `sesame`, if any, as exo-graphql does: in the header or connection_init."""

    wants_token = False

    async def on_ws_connect(self, context: Any) -> Any:
        if self.wants_token and context["connection_params"].get("Authorization") != "Bearer sesame":
            raise ConnectionRejectionError
        return await super().on_ws_connect(context)


class Site:
    """The server under the page: `wants_token` may change while it runs, `posts` are the headers it was sent."""

    def __init__(self, operations: Path) -> None:
        self.router = Router(
            strawberry.Schema(Query, subscription=Subscription),
            path="/graphql",
            graphql_ide=None,
            allow_queries_via_get=False,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
        )
        self.posts: list[dict[str, str]] = []
        inner = FastAPI(routes=[Route("/graphql", self._page), *page_routes(operations)])
        inner.middleware("http")(self._guard)
        inner.include_router(self.router)
        self.app = FastAPI()
        self.app.mount("/behind/a/proxy", inner)

    async def _page(self, _request: Request) -> Response:
        return graphiql_page()

    async def _guard(self, request: Request, call_next: Any) -> Response:
        if request.method == "POST":
            self.posts.append(dict(request.headers))
            if self.router.wants_token and request.headers.get("Authorization") != "Bearer sesame":
                return JSONResponse({"errors": [{"message": "A token is needed."}]}, status_code=401)
        response: Response = await call_next(request)
        return response

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """Serve on a free loopback port; gives the page's address."""
        config = uvicorn.Config(
            self.app, log_level="warning", ws="websockets-sansio", timeout_graceful_shutdown=2, lifespan="off"
        )
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            task = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}/behind/a/proxy/graphql"
            finally:
                server.should_exit = True
                await task


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    folder = tmp_path / "operations"
    folder.mkdir()
    for name, text in OPERATIONS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return Site(folder)


def _result(page: Page) -> Locator:
    return page.get_by_label("Result Window")


async def _open(page: Page, address: str) -> None:
    """Go there, and wait for the schema."""
    async with page.expect_response(lambda response: "IntrospectionQuery" in (response.request.post_data or "")):
        await page.goto(address)


async def _run(page: Page) -> None:
    await page.get_by_role("button", name="Execute query").click()


async def _give_token(page: Page, token: str) -> None:
    await page.get_by_label("Token", exact=True).fill(token)
    await page.get_by_role("button", name="Use token").click()


async def test_a_query_and_a_subscription_run_with_no_request_to_others(site: Site, visit: Visit) -> None:
    page = visit.page
    async with site.served() as address:
        await _open(page, address)
        await _run(page)
        await expect(_result(page)).to_contain_text("Good day, nobody.")
        await page.get_by_role("tab", name="Watch").click()
        await _run(page)
        await expect(_result(page)).to_contain_text("3 of 3")
        # The schema came by introspection, and its descriptions are the documentation.
        await page.get_by_label("Show Documentation Explorer").click()
        await page.get_by_role("link", name="Query").click()
        await expect(page.get_by_label("Documentation Explorer", exact=True)).to_contain_text(
            "Greets somebody by name."
        )
        await page.get_by_label("Show GraphiQL Explorer").click()
        await expect(page.get_by_text("Add new", exact=True)).to_be_visible()
        await page.get_by_label("Open settings dialog").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
    assert visit.foreign == []
    assert visit.problems == []


async def test_an_example_opens_in_a_tab_of_its_own_with_its_variables(site: Site, visit: Visit) -> None:
    page = visit.page
    async with site.served() as address:
        await _open(page, address)
        await page.get_by_label("Show Examples").click()
        await page.get_by_role("button", name="query Greet Greets somebody by name.").click()
        await expect(page.get_by_role("tab", name="Greet")).to_have_attribute("aria-selected", "true")
        variables = page.get_by_label("Variables", exact=True)
        await expect(variables).to_contain_text('"name": ""')
        await _run(page)
        await expect(_result(page)).to_contain_text("Good day, .")
        await page.get_by_role("tab", name="Status").click()
        await _run(page)
        await expect(_result(page)).to_contain_text("Good day, nobody.")
    assert visit.problems == []


async def test_a_server_that_requires_a_token_gets_it_for_queries_and_subscriptions(site: Site, visit: Visit) -> None:
    page = visit.page
    site.router.wants_token = True
    async with site.served() as address:
        await page.goto(address)
        await expect(page.get_by_role("dialog", name="Token required")).to_be_visible()
        await _give_token(page, "wrong")
        await expect(page.get_by_role("dialog", name="Token refused")).to_be_visible()
        await _give_token(page, "sesame")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await _run(page)
        await expect(_result(page)).to_contain_text("Good day, nobody.")
        await page.get_by_role("tab", name="Watch").click()
        await _run(page)
        await expect(_result(page)).to_contain_text("3 of 3")
        # It outlives a reload, not the tab.
        await page.reload()
        await page.get_by_role("tab", name="Status").click()
        await _run(page)
        await expect(_result(page)).to_contain_text("Good day, nobody.")
        stored = await page.evaluate("JSON.stringify(localStorage)")
        assert "sesame" not in stored
    assert site.posts[-1]["authorization"] == "Bearer sesame"


async def test_a_subscription_refused_for_its_token_asks_for_one_and_continues(site: Site, visit: Visit) -> None:
    page = visit.page
    async with site.served() as address:
        await _open(page, address)
        await page.get_by_role("tab", name="Watch").click()
        site.router.wants_token = True
        await _run(page)
        await _give_token(page, "sesame")
        await expect(_result(page)).to_contain_text("3 of 3")


async def test_declining_to_give_a_token_shows_the_servers_own_words(site: Site, visit: Visit) -> None:
    page = visit.page
    async with site.served() as address:
        await _open(page, address)
        site.router.wants_token = True
        await _run(page)
        await page.get_by_role("button", name="Cancel").click()
        await expect(_result(page)).to_contain_text("A token is needed.")
