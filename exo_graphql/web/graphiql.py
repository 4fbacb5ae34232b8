"""The GraphiQL page, which a browser gets at the address of the endpoint."""

from __future__ import annotations

import html
from pathlib import Path
from string import Template

from starlette.responses import HTMLResponse, Response

from exo_graphql.web.headers import PAGE_HEADERS
from exo_graphql.web.vendor import VENDOR, missing, packages

PAGES = Path(__file__).parent


class _Page(Template):
    """A template whose names are those of npm packages: `${@graphiql/plugin-explorer}`."""

    idpattern = r"[@/a-z-]+"


def graphiql_page(vendor: Path = VENDOR) -> Response:
    """GraphiQL; or, if its browser files are missing, a page that lists them and says how to fetch them.

    Looks at the disk each time, so that files fetched later need no restart. Its addresses are relative: the page
    must be served at `/graphql`, beside the routes of `page_routes`, below any root path.
    """
    wanted = packages()
    lacking = missing(wanted, vendor)
    if lacking:
        lines = (f"{package.name}@{package.version}: {', '.join(files)}" for package, files in lacking.items())
        items = "\n        ".join(f"<li>{html.escape(line)}</li>" for line in lines)
        body = _page("missing.html").substitute(missing=items)
    else:
        body = _page("graphiql.html").substitute({package.name: package.folder for package in wanted})
    return HTMLResponse(body, headers=PAGE_HEADERS)


def _page(name: str) -> _Page:
    return _Page((PAGES / name).read_text(encoding="utf-8"))
