"""The command `exo-graphql`: serving here, everything a user asks of a running server in `cli/`."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic import SecretStr, ValidationError

from exo_graphql.settings import Settings

app = typer.Typer(
    name="exo-graphql",
    help="The GraphQL layer over exo clusters.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _flags(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a command one flag for each setting, with its description, default and variable."""

    def command(**given: Any) -> None:
        told = {name: value for name, value in given.items() if value is not None and value != []}
        try:
            settings = Settings(**told)
        except ValidationError as error:
            for problem in error.errors():
                name = "--" + "-".join(str(part) for part in problem["loc"][:1]).replace("_", "-")
                typer.echo(f"{name}: {problem['msg']}", err=True)
            raise typer.Exit(2) from None
        function(settings)

    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what Typer reads
        [_parameter(name) for name in Settings.model_fields]
    )
    command.__doc__ = function.__doc__
    command.__name__ = function.__name__
    return command


def _parameter(name: str) -> inspect.Parameter:
    field = Settings.model_fields[name]
    variable = f"EXO_GRAPHQL_{name.upper()}"
    kind: Any = field.annotation
    repeated = kind == tuple[str, ...]
    flag = "--" + name.replace("_", "-")
    declarations = (f"{flag}/--no-{flag[2:]}",) if field.default is True else (flag,)
    text = f"{field.description} [{variable}]"
    if field.default_factory is None and not repeated and field.default != "":
        text += f" [default: {field.default}]"
    option = typer.Option(*declarations, help=text, show_default=False)
    annotation: Any = list[str] if repeated else {SecretStr: str}.get(kind, kind)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[annotation | None, option],
    )


@app.command()
@_flags
def serve(settings: Settings) -> None:
    """Serve GraphQL over an exo cluster, or over the embedded demo (--demo).

    Every flag can be given as a variable instead; a flag wins.
    """
    # Imported here, since the commands of a user should not wait for the server's libraries.
    from exo_graphql.run import run
    from exo_graphql.server.logs import configure

    configure(settings.log_format, settings.log_level)
    raise typer.Exit(asyncio.run(run(settings)))


@app.command()
def schema() -> None:
    """Print the GraphQL schema."""
    from exo_graphql.schema.build import build_schema, print_sorted

    typer.echo(print_sorted(build_schema()), nl=False)


@app.command()
def simulate(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 52415,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    speed: Annotated[float, typer.Option(help="How much faster than real time it runs.")] = 1.0,
    fault: Annotated[
        list[str] | None, typer.Option(help="KIND[:TARGET][@SECONDS]; may be repeated. See serve --help.")
    ] = None,
) -> None:
    """Serve a simulated exo by itself, for trying exo's tools without a cluster."""
    from exo_graphql.run import run_simulation
    from exo_graphql.server.logs import configure

    configure()
    raise typer.Exit(asyncio.run(run_simulation(host, port, speed, fault or [])))


def main() -> None:
    """The console script."""
    app()
