"""The pages for a browser: GraphiQL at the endpoint, the dashboard at `/`, and the files that they load.

Read `graphiql.py` and `dashboard/` (the pages), `assets.py` (their routes), `headers.py` (what a page may load), then
`vendor.py`, which fetches third-party files when the package is built.
"""

from exo_graphql.web.assets import page_routes
from exo_graphql.web.dashboard import dashboard_routes
from exo_graphql.web.graphiql import graphiql_page
from exo_graphql.web.headers import PAGE_HEADERS

__all__ = ["PAGE_HEADERS", "dashboard_routes", "graphiql_page", "page_routes"]
