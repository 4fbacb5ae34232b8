"""The pages a person opens in a browser, and the files that they load."""

from exo_graphql.web.assets import page_routes
from exo_graphql.web.dashboard import dashboard_routes
from exo_graphql.web.graphiql import graphiql_page
from exo_graphql.web.headers import PAGE_HEADERS

__all__ = ["PAGE_HEADERS", "dashboard_routes", "graphiql_page", "page_routes"]
