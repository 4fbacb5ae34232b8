"""Deployments: `deployments`, `deploy`, `apply`, `pause`, `resume`, `undeploy` and `calendar`."""

from collections.abc import Callable
from datetime import datetime, time
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from exo_graphql.cli import completion, deployment_views, times
from exo_graphql.cli.applying import Apply
from exo_graphql.cli.client import Data
from exo_graphql.cli.failures import Failure
from exo_graphql.cli.group import ListingOrShow
from exo_graphql.cli.help import Command, Typer
from exo_graphql.cli.model_commands import (
    DrainSeconds,
    InstanceType,
    InstanceTypeOption,
    MinNodes,
    Nodes,
    Sharding,
    ShardingOption,
)
from exo_graphql.cli.session import session_of
from exo_graphql.deployment_file.arguments import Table, without_defaults
from exo_graphql.deployment_file.writer import write

T = TypeVar("T")

PANEL = "Keep models loaded"
CHANGES = 2
"""The exit code of `apply` where something changes, like that of `terraform plan -detailed-exitcode`."""

app = Typer()
deployments = Typer(cls=ListingOrShow, subcommand_metavar="[NAME | COMMAND [ARGS]...]")
app.add_typer(deployments, name="deployments", rich_help_panel=PANEL)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The deployment's name.", autocompletion=completion.deployments)
]


class ApplyCommand(Command):
    """Wrong usage has a code of its own: 2 says that something changes."""

    usage_exit_code = 64


@deployments.callback()
def _deployments() -> None:
    """What should be loaded, how and when, and whether it is; or one deployment by its NAME."""


@deployments.command(name="list")
def list_(ctx: typer.Context) -> None:
    """The deployments. The word `list` may be left out."""
    session = session_of(ctx)
    session.show(session.ask("deployments"), deployment_views.deployments)


@deployments.command()
def show(ctx: typer.Context, name: Name) -> None:
    """Everything about one deployment. The word `show` may be left out."""
    session = session_of(ctx)
    data = session.ask("deployment", name=name)
    if data["deployment"] is None:
        known = [each["name"] for each in session.ask("deployments")["deployments"]]
        choices = f"Choices: {', '.join(known)}" if known else "There are no deployments."
        raise Failure(f"No deployment is called {name!r}.", choices, "DEPLOYMENT_NOT_FOUND", data)
    session.show(data, deployment_views.deployment)


@deployments.command(epilog="Example: exo-graphql deployments export > deployments.toml")
def export(ctx: typer.Context) -> None:
    """Print the deployments as TOML, for `apply -f` and for `serve --deployments`; with --json their data."""
    session = session_of(ctx)
    data = session.ask("deployments")
    if session.terminal.as_json:
        session.terminal.print_json(data)
    else:
        session.terminal.print_text(as_toml(data))


def as_toml(data: Data) -> str:
    """The data of `deployments.graphql` as a file, without arguments that have their defaults."""
    return write(
        Table(each["name"], without_defaults({**each, "model": each["modelId"]})) for each in data["deployments"]
    )


@app.command(
    rich_help_panel=PANEL,
    cls=ApplyCommand,
    epilog="Example: exo-graphql apply -f deployments.toml --dry-run\n\n"
    "Exit codes: 0 nothing to change; 2 something changes, or was changed; 1 an error; 64 wrong usage; "
    "69 no server at that address.\n\n"
    "A file has a table for each deployment, [deployments.NAME], with the arguments of applyDeployment. What is not in "
    "the file stays as it is. A deployment that is unchanged stays paused, if it is.",
)
def apply(
    ctx: typer.Context,
    *,
    filename: Annotated[
        Path,
        typer.Option(
            "--filename", "-f", metavar="FILE", allow_dash=True, help="A TOML file of deployments; - reads stdin."
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change, and what it would do.")] = (
        False
    ),
) -> None:
    """Declare the deployments of a file. First all of it is planned; if anything is invalid, nothing is applied."""
    session = session_of(ctx)
    work = Apply(session, str(filename), dry_run=dry_run)
    work.run()
    session.show(work.found, deployment_views.applied)
    if work.changes:
        raise typer.Exit(CHANGES)


@app.command(
    rich_help_panel=PANEL,
    epilog="Example: exo-graphql deploy night Kimi-K2.5 --window '0 23 * * * 7h Europe/Berlin'\n\n"
    "An option that is left out has its default, also where the deployment had another value before.",
)
def deploy(
    ctx: typer.Context,
    name: Name,
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="Full id or short name, in any case.", autocompletion=completion.models),
    ],
    *,
    replicas: Annotated[int, typer.Option(min=1, help="Number of copies, each on nodes of its own.")] = 1,
    min_nodes: MinNodes = 1,
    sharding: ShardingOption = Sharding.AUTO,
    instance_type: InstanceTypeOption = InstanceType.AUTO,
    node: Nodes = None,
    priority: Annotated[int, typer.Option(help="A higher one may displace a lower one.")] = 0,
    window: Annotated[
        list[str] | None,
        typer.Option(
            help="When it is wanted: 'CRON DURATION [ZONE] [ready-by]', such as '0 23 * * * 7h Europe/Berlin'; may be "
            "repeated. Without it: always. ready-by: the model must be ready when the window opens."
        ),
    ] = None,
    idle_unload_seconds: Annotated[
        int | None, typer.Option(min=60, help="Unload it after this many seconds without a request.")
    ] = None,
    drain_seconds: DrainSeconds = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would do.")] = False,
    if_generation: Annotated[
        int | None, typer.Option(min=0, help="Only if the deployment is of this generation; 0: only if there is none.")
    ] = None,
) -> None:
    """Declare that a model should be loaded, always or in windows. Declared again, it is changed."""
    windows = [_given("--window", times.window, text) for text in window or ()]
    session = session_of(ctx)
    data = session.mutate_once(
        "apply_deployment",
        name=name,
        model=model,
        replicas=replicas,
        minNodes=min_nodes,
        sharding=sharding.name,
        instanceType=instance_type.name,
        nodes=node or None,
        priority=priority,
        schedule=windows,
        idleUnloadSeconds=idle_unload_seconds,
        drainSeconds=drain_seconds,
        dryRun=dry_run,
        ifGeneration=if_generation,
    )
    session.show(data, deployment_views.deployed)


@app.command(rich_help_panel=PANEL, epilog="Example: exo-graphql pause night --until 06:00")
def pause(
    ctx: typer.Context,
    name: Name,
    *,
    until: Annotated[
        str | None,
        typer.Option(help="When it resumes by itself: 8h, 06:00 or 2026-11-27T06:00. Without it: only by `resume`."),
    ] = None,
) -> None:
    """Pause a deployment: nothing is loaded, unloaded or downloaded for it. What is loaded stays loaded."""
    at = None if until is None else _given("--until", times.until, until)
    session = session_of(ctx)
    data = session.mutate_once("pause_deployment", name=name, until=None if at is None else at.isoformat())
    session.show(data, deployment_views.changed)


@app.command(rich_help_panel=PANEL)
def resume(ctx: typer.Context, name: Name) -> None:
    """End the pause of a deployment."""
    session = session_of(ctx)
    session.show(session.mutate_once("resume_deployment", name=name), deployment_views.changed)


@app.command(rich_help_panel=PANEL)
def undeploy(
    ctx: typer.Context,
    name: Name,
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Keep loaded what it has loaded.")] = False,
) -> None:
    """Delete a deployment, and unload what it has loaded."""
    session = session_of(ctx)
    session.show(session.mutate_once("delete_deployment", name=name, unload=not keep), deployment_views.deleted)


@app.command(rich_help_panel=PANEL)
def calendar(
    ctx: typer.Context, *, days: Annotated[int, typer.Option(min=1, max=366, help="How many days from today.")] = 14
) -> None:
    """Which deployments are wanted when, and whether they fit together. Times are local."""
    session = session_of(ctx)
    # As a local time, so that midnight has the offset of its own day.
    midnight = datetime.combine(datetime.now().date(), time()).astimezone()  # noqa: DTZ005
    data = session.ask("calendar", days=days, **{"from": midnight.isoformat()})
    session.show({"calendar": _with_wanted(data)}, deployment_views.calendar)


def _with_wanted(data: Data) -> list[dict[str, Any]]:
    """The entries of `calendar.graphql`, each with the `deployments` that are wanted."""
    known: dict[str, bool] = {}
    for entry in data["calendar"]:
        known = {each["name"]: False for each in entry["transition"]["loads"]} | known
        known = {each["name"]: True for each in entry["transition"]["unloads"]} | known
    # One that the calendar never changes is wanted in all of it, or never.
    always = {
        each["name"]: not each["schedule"] or each["wanted"] or each["openUntil"] is not None
        for each in data["deployments"]
    }
    wanted = {name for name, at_first in (always | known).items() if at_first}
    entries = []
    for entry in data["calendar"]:
        wanted -= {each["name"] for each in entry["transition"]["unloads"]}
        wanted |= {each["name"] for each in entry["transition"]["loads"]}
        entries.append({**entry, "deployments": [{"name": name} for name in sorted(wanted)]})
    return entries


def _given(option: str, read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
