"""`models`: list, plan, load, unload and swap models, download and delete their weights."""

from enum import StrEnum
from typing import Annotated

import typer

from exo_graphql.cli import completion, views
from exo_graphql.cli.client import Data
from exo_graphql.cli.failures import Failure, from_operation_error
from exo_graphql.cli.format import count
from exo_graphql.cli.group import Listing
from exo_graphql.cli.help import Typer
from exo_graphql.cli.session import Session, session_of
from exo_graphql.cli.waiting import status_failure, wait_for_model, wait_for_operation

app = Typer(cls=Listing, subcommand_metavar="[COMMAND [ARGS]...]")


class Sharding(StrEnum):
    """The schema's ShardingPreference."""

    AUTO = "auto"
    PIPELINE = "pipeline"
    TENSOR = "tensor"


class InstanceType(StrEnum):
    """The schema's InstanceTypePreference."""

    AUTO = "auto"
    MLX_RING = "mlx_ring"
    MLX_JACCL = "mlx_jaccl"


Wait = Annotated[bool, typer.Option("--wait", help="Follow it to the end, over a subscription.")]
Timeout = Annotated[
    float, typer.Option(min=0.001, help="Maximum seconds to wait, then exit with 124; the operation continues.")
]
PollInterval = Annotated[
    float | None, typer.Option(help="Accepted for scripts written for exo-cli; has no effect, nothing is polled.")
]
MinNodes = Annotated[int, typer.Option(min=1, help="Minimum number of nodes to spread over.")]
ShardingOption = Annotated[Sharding, typer.Option(case_sensitive=False, help="How to divide the model.")]
InstanceTypeOption = Annotated[
    InstanceType, typer.Option(case_sensitive=False, help="How the nodes communicate: sockets (ring) or RDMA (jaccl).")
]
Nodes = Annotated[
    list[str] | None,
    typer.Option(
        "--node", help="Exactly these nodes, by id or name; may be repeated.", autocompletion=completion.nodes
    ),
]
DrainSeconds = Annotated[
    int, typer.Option(min=0, help="Maximum seconds to wait for running requests; 0 does not wait.")
]
IdempotencyKey = Annotated[
    str | None, typer.Option(help="For 24 hours, the same key with the same arguments returns the same operation.")
]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Full id or short name, in any case.", autocompletion=completion.models)
]
LoadedName = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Full id or short name, in any case.", autocompletion=completion.loaded_models),
]


@app.callback()
def models() -> None:
    """Models: list, plan, load, unload and swap them; their weights; models of the hub."""


@app.command(name="list")
def list_(
    ctx: typer.Context,
    *,
    every: Annotated[bool, typer.Option("--all", help="The whole catalogue, not only the loaded models.")] = False,
    search: Annotated[
        str | None, typer.Option(help="Search the whole catalogue by id, family, base model or quantization.")
    ] = None,
    downloaded: Annotated[
        bool, typer.Option("--downloaded", help="The models whose weights are complete on some node.")
    ] = False,
    fits: Annotated[bool, typer.Option("--fits", help="The models that could be loaded now.")] = False,
) -> None:
    """The loaded models and what is being downloaded. The word `list` may be left out."""
    session = session_of(ctx)
    loaded = None if every or downloaded or fits or search is not None else True
    found = session.ask("models", loaded=loaded, search=search, downloaded=downloaded or None, fits=fits or None)
    session.show(found, views.models)


@app.command()
def show(ctx: typer.Context, name: Name) -> None:
    """Everything about one model: what it is, where it runs, where its weights are."""
    session = session_of(ctx)
    session.show(session.ask("model", id=name), views.model)


@app.command(
    epilog="Example: exo-graphql models status Qwen3-30B-A3B-4bit\n\n"
    "Exit codes: 0, or 1 if no such model is known, if it failed, or if its nodes are unreachable. "
    "With --wait: 0 once it is ready, 1 once waiting longer is useless."
)
def status(
    ctx: typer.Context, name: Name, *, wait: Wait = False, timeout: Timeout = 600.0, poll_interval: PollInterval = None
) -> None:
    """Whether a model can serve, and if not, how far it is."""
    del poll_interval
    session = session_of(ctx)
    if wait:
        wait_for_model(session, name, timeout)
        return
    data = session.ask("model_status", model=name)
    session.show(data, views.model_status, status_failure(data["modelStatus"]))


@app.command(epilog="Example: exo-graphql models load --wait Qwen3-30B-A3B-4bit && ./ask-it.sh")
def load(
    ctx: typer.Context,
    name: Name,
    *,
    wait: Wait = False,
    min_nodes: MinNodes = 1,
    sharding: ShardingOption = Sharding.AUTO,
    instance_type: InstanceTypeOption = InstanceType.AUTO,
    node: Nodes = None,
    additional: Annotated[bool, typer.Option("--additional", help="Load another copy even if one is loaded.")] = False,
    timeout: Timeout = 600.0,
    poll_interval: PollInterval = None,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Load a model. If it is already loaded, the existing instance is followed and nothing is placed."""
    del poll_interval
    session = session_of(ctx)
    data = session.mutate(
        "load_model",
        idempotency_key,
        model=name,
        minNodes=min_nodes,
        sharding=sharding.name,
        instanceType=instance_type.name,
        nodes=node or None,
        additional=additional,
    )
    _finish(session, data, timeout, wait=wait)


@app.command(epilog="Example: exo-graphql models unload --wait Qwen3-30B-A3B-4bit")
def unload(
    ctx: typer.Context,
    name: LoadedName,
    *,
    instance: Annotated[str | None, typer.Option(help="Only this instance, by its id or the beginning of it.")] = None,
    drain_seconds: DrainSeconds = 30,
    wait: Wait = False,
    timeout: Timeout = 600.0,
    poll_interval: PollInterval = None,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Unload a model: all its instances, or one."""
    del poll_interval
    session = session_of(ctx)
    if instance is not None:
        instance = session.whole_id(
            instance, lambda: session.ask("model_status", model=name)["modelStatus"]["instances"]
        )
    data = session.mutate("unload_model", idempotency_key, model=name, instance=instance, drainSeconds=drain_seconds)
    _finish(session, data, timeout, wait=wait)


@app.command(
    epilog="Example: exo-graphql models swap --wait DeepSeek-V3.2-8bit Kimi-K2.5\n\n"
    "The new model's weights are downloaded, and it is known to fit, before the old one is unloaded; "
    "if the load fails nevertheless, the old one is loaded again."
)
def swap(
    ctx: typer.Context,
    old: Annotated[
        str,
        typer.Argument(
            metavar="OLD", help="What to unload; several with commas.", autocompletion=completion.loaded_models
        ),
    ],
    new: Annotated[
        str, typer.Argument(metavar="NEW", help="What to load; several with commas.", autocompletion=completion.models)
    ],
    *,
    wait: Wait = False,
    min_nodes: MinNodes = 1,
    sharding: ShardingOption = Sharding.AUTO,
    instance_type: InstanceTypeOption = InstanceType.AUTO,
    node: Nodes = None,
    drain_seconds: DrainSeconds = 30,
    timeout: Timeout = 600.0,
    poll_interval: PollInterval = None,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Unload one model and load another, or change nothing."""
    del poll_interval
    session = session_of(ctx)
    data = session.mutate(
        "swap_models",
        idempotency_key,
        unload=_listed(old, "OLD"),
        load=_listed(new, "NEW"),
        minNodes=min_nodes,
        sharding=sharding.name,
        instanceType=instance_type.name,
        nodes=node or None,
        drainSeconds=drain_seconds,
    )
    _finish(session, data, timeout, wait=wait)


@app.command(
    epilog="Example: exo-graphql models plan Kimi-K2.5 --unload DeepSeek-V3.2-8bit\n\n"
    "Exit codes: 0 if it would be done, 1 if not."
)
def plan(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="What to load; several with commas.", autocompletion=completion.models),
    ] = None,
    *,
    unload: Annotated[
        list[str] | None,
        typer.Option(help="What to unload; may be repeated.", autocompletion=completion.loaded_models),
    ] = None,
    min_nodes: MinNodes = 1,
    sharding: ShardingOption = Sharding.AUTO,
    instance_type: InstanceTypeOption = InstanceType.AUTO,
    node: Nodes = None,
    drain_seconds: DrainSeconds = 30,
    additional: Annotated[bool, typer.Option("--additional", help="Load another copy even if one is loaded.")] = False,
) -> None:
    """What a load, unload or swap would do, step by step; if it does not fit, what to unload. Changes nothing."""
    session = session_of(ctx)
    data = session.ask(
        "plan",
        load=[] if name is None else _listed(name, "NAME"),
        unload=[each for names in unload or () for each in _listed(names, "--unload")],
        minNodes=min_nodes,
        sharding=sharding.name,
        instanceType=instance_type.name,
        nodes=node or None,
        drainSeconds=drain_seconds,
        additional=additional,
    )
    error = data["plan"]["error"]
    session.show(data, views.plan, None if error is None else from_operation_error(error))


@app.command(epilog="Example: exo-graphql models apply --wait HASH, where `exo-graphql models plan` printed the hash")
def apply(
    ctx: typer.Context,
    plan_hash: Annotated[str, typer.Argument(metavar="HASH", help="The hash that `models plan` printed.")],
    *,
    wait: Wait = False,
    timeout: Timeout = 600.0,
    idempotency_key: Annotated[
        str | None, typer.Option(help="As of `load`. Without it, one hash is applied once.")
    ] = None,
) -> None:
    """Do exactly what a plan said, or nothing if the cluster has changed so that it would be done differently."""
    session = session_of(ctx)
    data = session.mutate_safely("apply_plan", hash=plan_hash, idempotencyKey=idempotency_key)
    if data["applyPlan"]["deployment"] is not None:
        session.show(data, views.applied_deployment)
        return
    _finish(session, data, timeout, wait=wait)


@app.command(epilog="Example: exo-graphql models search phi-4")
def search(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(metavar="TEXT", help="Text in the model's id.")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many.")] = 20,
) -> None:
    """Search the hub that exo downloads from. `models --search` searches the catalogue."""
    session = session_of(ctx)
    session.show(session.ask("search_hub", query=query, limit=limit), views.hub)


@app.command(epilog="Example: exo-graphql models add mlx-community/Phi-4-mini-instruct-4bit")
def add(
    ctx: typer.Context, model_id: Annotated[str, typer.Argument(metavar="ID", help="Id on the hub, as AUTHOR/NAME.")]
) -> None:
    """Add a model of the hub to the catalogue. Nothing is downloaded."""
    session = session_of(ctx)
    session.show(session.mutate_safely("add_model", id=model_id), views.added)


@app.command()
def remove(ctx: typer.Context, name: Name) -> None:
    """Remove a custom model from the catalogue. Its weights stay: `models delete` removes them."""
    session = session_of(ctx)
    session.show(session.mutate_once("remove_model", id=name), views.removed)


@app.command(epilog="Example: exo-graphql models download Kimi-K2.5 --node 'Mac Studio 1'")
def download(ctx: typer.Context, name: Name, *, node: Nodes = None) -> None:
    """Download a model's weights to all nodes or to some. `downloads` shows the progress."""
    session = session_of(ctx)
    node_answers(session, session.mutate_once("start_download", model=name, nodes=node or None))


@app.command()
def delete(
    ctx: typer.Context,
    name: Name,
    *,
    node: Nodes = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask for confirmation. Without a terminal it is never asked.")
    ] = False,
) -> None:
    """Delete a model's weights on all nodes or on some. A loaded model keeps serving."""
    session = session_of(ctx)
    if not yes and session.terminal.can_ask:
        where = ", ".join(node) if node else "all nodes"
        typer.confirm(f"Delete the weights of {name} on {where}?", abort=True, err=True)
    node_answers(session, session.mutate_once("delete_download", model=name, nodes=node or None))


def node_answers(session: Session, data: Data) -> None:
    """Shows what each node answered; raises `Failure` if one of them refused."""
    (payload,) = data.values()
    refused = [result for result in payload["results"] if not result["accepted"]]
    failure = None
    if refused:
        reasons = " ".join(dict.fromkeys(result["error"] or "No reason given." for result in refused))
        failure = Failure(f"{len(refused)} of {count(len(payload['results']), 'node')} refused: {reasons}")
    session.show(data, views.asked, failure)


def _listed(names: str, argument: str) -> list[str]:
    listed = [name.strip() for name in names.split(",") if name.strip()]
    if not listed:
        raise typer.BadParameter("names no model", param_hint=argument)
    return listed


def _finish(session: Session, data: Data, timeout: float, *, wait: bool) -> None:
    if wait:
        (payload,) = data.values()
        wait_for_operation(session, payload["operation"]["id"], timeout)
    else:
        session.show(data, views.accepted)
