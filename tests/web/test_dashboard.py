"""The dashboard's page and files as any HTTP client sees them, and its documents, checked against the schema."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import GraphQLSchema, OperationDefinitionNode, parse, validate

from exo_graphql.app import build
from exo_graphql.engine.costs import Costs
from exo_graphql.engine.limits import DEFAULT_LIMITS
from exo_graphql.engine.list_sizes import ListSizes
from exo_graphql.schema.build import build_schema
from exo_graphql.settings import Settings
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from exo_graphql.web import dashboard
from exo_graphql.web.dashboard.documents import dashboard_documents

pytestmark = pytest.mark.anyio

STATIC = Path(dashboard.__file__).with_name("static")
_SETTINGS: dict[str, Any] = {"root_path": "/below"}
IMPORT = re.compile(r'^import [^;]*? from "([^"]+)";', re.MULTILINE | re.DOTALL)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    components = build(Settings(**_SETTINGS), SimulatedExo(tiny_scenario()))
    transport = httpx.ASGITransport(app=components.asgi)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost/below/", headers={"Accept": "text/html,*/*;q=0.8"}
    ) as made:
        yield made


async def _files(client: httpx.AsyncClient) -> dict[str, httpx.Response]:
    """The page's files, and what they import, by address; each requested once."""
    page = await client.get("")
    waiting = [page.url.join(address) for address in re.findall(r'(?:src|href)="([^"#]+)"', page.text)]
    seen: dict[str, httpx.Response] = {}
    while waiting:
        url = waiting.pop()
        if str(url) not in seen:
            seen[str(url)] = response = await client.get(url)
            waiting.extend(url.join(address) for address in IMPORT.findall(response.text))
    return seen


async def test_the_page_and_all_that_it_loads_are_served_below_a_root_path(client: httpx.AsyncClient) -> None:
    files = await _files(client)
    assert {url: response.status_code for url, response in files.items() if response.status_code != 200} == {}
    assert all(url.startswith("http://localhost/below/") for url in files)
    scripts = {url.rsplit("/", 1)[1] for url in files if "/dashboard/assets/" in url and url.endswith(".js")}
    assert scripts == {script.name for script in STATIC.glob("*.js")}


async def test_nothing_of_it_is_third_party(client: httpx.AsyncClient) -> None:
    assert [url for url in await _files(client) if "/vendor/" in url] == []


async def test_a_proxy_may_cut_the_root_path_off_or_leave_it(client: httpx.AsyncClient) -> None:
    kept = await client.get("http://localhost/below/")
    cut = await client.get("http://localhost/")
    assert kept.status_code == 200
    assert kept.text == cut.text


async def test_without_its_last_slash_the_root_path_leads_to_the_page(client: httpx.AsyncClient) -> None:
    response = await client.get("http://localhost/below")
    assert response.status_code == 307
    # Relative: the scheme and the name under which a proxy shows this server are the client's knowledge alone.
    assert response.headers["location"] == "below/"


async def test_a_head_request_is_answered(client: httpx.AsyncClient) -> None:
    assert (await client.head("")).status_code == 200


async def test_the_page_allows_no_source_but_its_own_server_and_nothing_inline(client: httpx.AsyncClient) -> None:
    page = await client.get("")
    policy = page.headers["content-security-policy"]
    sources = {word for directive in policy.split("; ") for word in directive.split()[1:]}
    assert sources == {"'none'", "'self'", "data:"}
    assert "default-src 'none';" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["../__init__.py", "%2e%2e/dashboard.html", "..%2f__init__.py", "nothing.js"])
async def test_nothing_but_the_assets_can_be_read(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(httpx.URL(f"http://localhost/below/dashboard/assets/{path}"))
    assert response.status_code == 404


def test_text_of_the_server_never_becomes_markup() -> None:
    for script in STATIC.glob("*.js"):
        found = re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", script.read_text())
        assert found == [], script.name


DOCUMENTS = {
    "ACKNOWLEDGE",
    "APPLY",
    "APPLY_PLAN",
    "CALENDAR",
    "CANCEL",
    "CANCEL_DOWNLOAD",
    "CANCEL_TASK",
    "DELETE",
    "DELETE_DOWNLOAD",
    "EVENTS",
    "HISTORY",
    "LINKS",
    "MAY_CHANGE",
    "PAUSE",
    "PLAN",
    "RESUME",
    "SEARCH",
    "START_DOWNLOAD",
    "UNLOAD",
    "WATCH",
    "WEIGHTS",
    "WHY",
}


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema()


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_each_document_is_valid(name: str, schema: GraphQLSchema) -> None:
    assert [error.message for error in validate(schema, parse(dashboard_documents()[name]))] == []


def test_every_document_is_among_those_that_are_checked_against_the_schema() -> None:
    assert set(dashboard_documents()) == DOCUMENTS


class _LargeCluster(ListSizes):
    """64 nodes, 500 models."""

    nodes, models, loaded, deployments = 64.0, 500.0, 20.0, 20.0
    instances_of_model, shards = 4.0, 16.0


def test_what_an_action_asks_is_allowed_on_64_nodes(schema: GraphQLSchema) -> None:
    costs = Costs(schema)
    for name, text in dashboard_documents().items():
        document = parse(text)
        (operation,) = (node for node in document.definitions if isinstance(node, OperationDefinitionNode))
        cost = costs.of(document, operation, _LargeCluster(None, tuple))
        if cost.exo_calls:
            assert cost.total < DEFAULT_LIMITS.max_mutation_cost, name
