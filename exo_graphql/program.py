"""All commands. Those that run something are here; those that query a running server, in `cli/`.

The server's libraries are imported inside functions: a command that only queries a server need not load them.
"""

import inspect
import secrets
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from exo_graphql.cli.commands import EPILOG
from exo_graphql.cli.commands import app as commands
from exo_graphql.cli.failures import Failure
from exo_graphql.cli.group import Commands
from exo_graphql.cli.help import Typer
from exo_graphql.cli.options import global_options
from exo_graphql.cli.webhook_commands import app as webhooks

PANEL = "Serve"
# A token's secret has 256 bits: no rate of guessing finds it.
SECRET_BYTES = 32


class Program(Commands):
    """All commands. Only `serve` imports the libraries that hold the server's settings."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds a command by its name."""
        if args and args[0] == "serve":
            return "serve", _serve_command(), args[1:]
        return super().resolve_command(ctx, args)


app = Typer(
    name="exo-graphql",
    cls=Program,
    callback=global_options,
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(commands)


def _serve_command() -> Any:
    """`serve`, with one flag for each setting, with its description, default, variable and group.

    By Typer: the shell completes them, and errors of usage look as those of the other commands do.
    """
    from exo_graphql.removed_settings import REMOVED
    from exo_graphql.serve_command import start
    from exo_graphql.settings import Settings

    def command(**given: Any) -> None:
        """Serve GraphQL over an exo cluster, or over the embedded demo (--demo).

        Every flag can also be set as an environment variable; the flag wins.
        """
        raise typer.Exit(start({name: value for name, value in given.items() if value is not None and value != []}))

    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what Typer reads
        [
            *(_parameter(name, field) for name, field in Settings.model_fields.items()),
            *(_removed_parameter(name) for name in REMOVED),
        ]
    )
    flags = Typer(add_completion=False)
    flags.command(name="serve")(command)
    return typer.main.get_command(flags)


def _parameter(name: str, field: Any) -> inspect.Parameter:
    from pydantic import SecretStr

    from exo_graphql.settings import group_of, variable

    kind: Any = field.annotation
    repeated = kind == tuple[str, ...]
    text = f"{field.description} [{variable(name)}]"
    if field.default_factory is None and isinstance(field.default, bool | int | float | str) and field.default != "":
        text += f" [default: {field.default}]"
    option = typer.Option(
        _declaration(name, off=field.default is True), help=text, show_default=False, rich_help_panel=group_of(field)
    )
    annotation: Any = list[str] if repeated else {SecretStr: str}.get(kind, kind)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[annotation | None, option],
    )


def _declaration(name: str, *, off: bool) -> str:
    from exo_graphql.serve_command import flag

    return f"{flag(name)}/--no-{flag(name)[2:]}" if off else flag(name)


def _removed_parameter(name: str) -> inspect.Parameter:
    from exo_graphql.removed_settings import REMOVED_SWITCHES

    switch = name in REMOVED_SWITCHES
    option = typer.Option(_declaration(name, off=switch), hidden=True)
    kind = bool if switch else str
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


@app.command(rich_help_panel=PANEL)
def serve() -> None:
    """Serve GraphQL over an exo cluster, or over the embedded demo (--demo)."""
    # `Program` runs the command with its flags instead of this one, which is there for the list of commands.
    raise AssertionError("`Program` runs `_serve_command` instead")


@app.command(rich_help_panel=PANEL)
def schema() -> None:
    """Print the GraphQL schema."""
    from exo_graphql.schema.build import build_schema, print_sorted

    typer.echo(print_sorted(build_schema()), nl=False)


@app.command(rich_help_panel=PANEL)
def documents(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The document to print. Without a name, all names are listed.")
    ] = None,
) -> None:
    """Print a GraphQL document that the command line sends, complete with its fragments."""
    from exo_graphql.documents import document, document_names

    names = document_names()
    if name is None:
        typer.echo("\n".join(names))
    elif name in names:
        typer.echo(document(name).text, nl=False)
    else:
        raise typer.BadParameter(f"there is no document {name!r}; use one of: {', '.join(names)}", param_hint="NAME")


@app.command(rich_help_panel=PANEL)
def monitoring(
    file: Annotated[
        Literal["alerts", "dashboard"],
        typer.Argument(help="alerts: rules for Prometheus (YAML). dashboard: for Grafana (JSON)."),
    ],
) -> None:
    """Print alert rules for Prometheus, or a dashboard for Grafana, made for this server's /metrics."""
    from exo_graphql.observability.monitoring import MONITORING_FILES

    typer.echo(MONITORING_FILES[file].read_text(encoding="utf-8"), nl=False)


@app.command(rich_help_panel=PANEL)
def token(
    scope: Annotated[
        Literal["operate", "read"], typer.Option(help="operate: full control. read: queries and subscriptions only.")
    ] = "operate",
    name: Annotated[
        str | None, typer.Option(help="Name of its owner, by which events and the log say who requested something.")
    ] = None,
) -> None:
    """Print a new token in the format of `serve --tokens-file`: SCOPE:SECRET, or NAME=SCOPE:SECRET.

    Clients send the SECRET.

    A server accepts it once it is in its --tokens-file or EXO_GRAPHQL_TOKENS.
    """
    from exo_graphql.transports.auth import is_name

    if name is not None and not is_name(name):
        raise typer.BadParameter("use at most 63 letters, digits and . _ @ -", param_hint="--name")
    owner = "" if name is None else f"{name}="
    typer.echo(f"{owner}{scope}:{secrets.token_urlsafe(SECRET_BYTES)}")


@webhooks.command()
def secret(
    state_dir: Annotated[
        Path | None, typer.Option(help="The server's --state-dir. Default: that of `serve`.", show_default=False)
    ] = None,
) -> None:
    """Print the secret that webhooks of a server on this machine are signed with; make one if there is none.

    It is EXO_GRAPHQL_WEBHOOK_SECRET, or else the one in the server's state directory.
    """
    from pydantic import ValidationError

    from exo_graphql.settings import Settings, variable
    from exo_graphql.webhooks.secret import parse_secrets, stored_secret

    try:
        settings = Settings() if state_dir is None else Settings(state_dir=state_dir)
        given = parse_secrets(settings.webhook_secret.get_secret_value())
        found = given or (stored_secret(settings.state_dir),)
    except ValidationError as error:
        name, reason = error.errors()[0]["loc"][0], error.errors()[0]["msg"]
        raise Failure(f"{variable(str(name))}: {reason}.", code="INVALID_ARGUMENT") from None
    except (OSError, ValueError) as error:
        raise Failure(f"{error}.", code="INVALID_ARGUMENT") from None
    typer.echo("\n".join(found))


@app.command(rich_help_panel=PANEL)
def simulate(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.", min=0, max=65535)] = 52415,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    speed: Annotated[float, typer.Option(help="How much faster than real time it runs.", min=0.001, max=1000)] = 1.0,
    fault: Annotated[
        list[str] | None, typer.Option(help="KIND[:TARGET][@SECONDS]; may be repeated. See serve --help.")
    ] = None,
) -> None:
    """Serve a simulated exo by itself, for trying exo's tools without a cluster."""
    from exo_graphql.observability.logs import configure
    from exo_graphql.serve import block_on, run_simulation
    from exo_graphql.serve_command import flag
    from exo_graphql.settings import SettingsError

    configure()
    try:
        code = block_on(run_simulation(host, port, speed, fault or []))
    except SettingsError as error:
        typer.echo(f"error: {flag(error.setting)}: {error.message}", err=True)
        raise typer.Exit(error.exit_code) from None
    raise typer.Exit(code)
