"""The dashboard, which a browser gets at `/`: one page, driven by one subscription, without any third-party file."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from exo_graphql.web.assets import file_route
from exo_graphql.web.headers import STRICT_HEADERS

HERE = Path(__file__).parent


async def _page(_request: Request) -> Response:
    return HTMLResponse((HERE / "dashboard.html").read_text(encoding="utf-8"), headers=STRICT_HEADERS)


def dashboard_routes() -> list[BaseRoute]:
    """The page at `/`, its scripts and styles below `/dashboard/assets`: GET (and HEAD), open to everyone.

    They hold nothing of the cluster: what the page shows comes over `/graphql`, with a token where one is asked
    for. Its addresses are relative, so that it works below any root path; it borrows `token.js` and `token.css`
    of `page_routes`.
    """
    return [Route("/", _page, methods=["GET"]), file_route("/dashboard/assets", HERE / "static")]
