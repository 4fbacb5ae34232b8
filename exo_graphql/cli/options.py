"""The global options, given before the command: the server, the token, the form of the output."""

from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from exo_graphql.cli.endpoint import DEFAULT_HOST, DEFAULT_PORT, DEFAULT_URL, endpoint, endpoint_at
from exo_graphql.cli.session import Session


def _print_version(wanted: bool) -> None:  # noqa: FBT001  # Typer calls it so
    if wanted:
        typer.echo(f"exo-graphql {metadata.version('exo-graphql')}")
        raise typer.Exit


def global_options(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="EXO_GRAPHQL_URL",
            help=f"The server's endpoint; without a path, /graphql is added. [default: {DEFAULT_URL}]",
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help=f"The server's host, instead of --url. [default: {DEFAULT_HOST}]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help=f"The server's port, instead of --url. [default: {DEFAULT_PORT}]"),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="EXO_GRAPHQL_TOKEN", show_envvar=True, help="The token, if the server requires one."),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            envvar="EXO_GRAPHQL_CA_FILE",
            show_envvar=True,
            help="A file (PEM) of authorities to trust for https, besides the usual ones or those of SSL_CERT_FILE.",
        ),
    ] = None,
    *,
    json: Annotated[
        bool, typer.Option("--json", help="Print the command's GraphQL data, or an error object, for machines.")
    ] = False,
    wide: Annotated[bool, typer.Option("--wide", help="Every column, and ids in full.")] = False,
    version: Annotated[  # noqa: ARG001  # its callback does it
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """The GraphQL layer over exo clusters: run a server, or send commands to a running one."""
    try:
        where = address(url, host, port)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--url") from error
    shown = (token or "").strip()
    if not (shown.isascii() and shown.isprintable()):
        raise typer.BadParameter("a token consists of printable ASCII characters", param_hint="--token")
    ctx.obj = Session(where, shown or None, as_json=json, wide=wide, ca_file=ca_file)


def address(url: str | None, host: str | None, port: int | None) -> str:
    """The endpoint that these options mean; --host and --port win over --url and its variable. Raises ValueError."""
    if host is not None or port is not None:
        return endpoint_at(host, port)
    return endpoint(url) if url and url.strip() else DEFAULT_URL
