"""The dashboard at `/`: one page fed by one subscription, without third-party files.

Read `static/main.js`, `live.js` (the subscription), `dom.js` (how the page is updated), then one file a section. What
is long and changes rarely (events, links, the last hour) is a query of its own, sent when the subscription says that
it has changed: `refetch.js`.
"""

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

    They hold no data of the cluster: the page gets those from `/graphql`, with a token if the server requires one. Its
    addresses are relative, so that it works below any root path. `token.js` and `token.css` come from `page_routes`.
    """
    return [Route("/", _page, methods=["GET"]), file_route("/dashboard/assets", HERE / "static")]
