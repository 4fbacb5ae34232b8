"""Completion in the shell: names of models, nodes, operations and deployments.

They come from the server; there are none if it is slow.
"""

import asyncio
from collections.abc import Iterable

import typer

from exo_graphql.cli.client import Client, Data
from exo_graphql.cli.failures import Failure
from exo_graphql.cli.options import address
from exo_graphql.cli.unique_names import with_unique_names
from exo_graphql.documents import document

# A completion that takes longer disturbs typing.
_SECONDS = 1.0


def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of all models: short ones, with the owner where that is needed."""
    data = _asked(ctx, "models", loaded=None)
    return _starting(incomplete, (entry["name"] for entry in with_unique_names(data.get("models", ()))))


def loaded_models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the models that are loaded."""
    data = _asked(ctx, "models", loaded=True)
    return _starting(incomplete, (entry["name"] for entry in with_unique_names(data.get("models", ()))))


def nodes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the nodes."""
    data = _asked(ctx, "nodes")
    return _starting(incomplete, (entry["friendlyName"] or entry["id"] for entry in data.get("nodes", ())))


def operations(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of the operations under way."""
    data = _asked(ctx, "operations", active=True)
    return _starting(incomplete, (entry["id"] for entry in data.get("operations", ())))


def deployments(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the deployments."""
    data = _asked(ctx, "deployments")
    return _starting(incomplete, (entry["name"] for entry in data.get("deployments", ())))


def tasks(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of the inference under way."""
    data = _asked(ctx, "tasks")
    return _starting(incomplete, (entry["id"] for entry in data.get("tasks", ()) if entry["active"]))


def _starting(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name.lower().startswith(incomplete.lower())})


def _asked(ctx: typer.Context, name: str, **variables: object) -> Data:
    # While the shell completes no command runs, so there is no session made from the global options.
    given = ctx.find_root().params
    try:
        url = address(given.get("url"), given.get("host"), given.get("port"))
        return asyncio.run(_ask(url, given.get("token"), name, variables))
    except (Failure, ValueError, TimeoutError):
        return {}


async def _ask(url: str, token: str | None, name: str, variables: dict[str, object]) -> Data:
    async with asyncio.timeout(_SECONDS), Client(url, token) as client:
        return (await client.ask(document(name), variables)).data or {}
