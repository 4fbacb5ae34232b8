"""The pages a person opens in a browser, and the files that they load."""

from exo_graphql.server.pages.assets import page_routes
from exo_graphql.server.pages.dashboard import dashboard_routes
from exo_graphql.server.pages.graphiql import graphiql_page
from exo_graphql.server.pages.headers import PAGE_HEADERS

__all__ = ["PAGE_HEADERS", "dashboard_routes", "graphiql_page", "page_routes"]
