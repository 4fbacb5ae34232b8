"""The tools: what each is for, what it takes and returns, and what it may change.

The definitions are sent to every model that may use them, so all of them together stay under 3,000 tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any

Schema = dict[str, Any]


@unique
class Effect(Enum):
    """What a tool does to the cluster."""

    READS = "READS"
    CHANGES = "CHANGES"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool. `needs` are the required arguments."""

    name: str
    title: str
    description: str
    arguments: Mapping[str, Schema]
    returns: Schema
    needs: tuple[str, ...] = ()
    effect: Effect = Effect.READS
    operators_only: bool = False
    """Whether callers that may only read do not see it."""
    free_text: bool = False
    """Whether it sends a document that the caller wrote: a server with `--trusted-documents` executes none."""
    open_world: bool = False
    """Whether it may reach what is outside of the cluster: exo downloads weights from a hub."""

    @property
    def input_schema(self) -> Schema:
        """JSON Schema of the arguments."""
        required = {"required": list(self.needs)} if self.needs else {}
        return {"type": "object", "properties": dict(self.arguments), **required, "additionalProperties": False}


def _is(type_: str, description: str | None = None, **more: object) -> Schema:
    return {"type": type_, **({} if description is None else {"description": description}), **more}


def _list(description: str | None = None) -> Schema:
    items = {"type": "array", "items": {"type": "string"}}
    return items if description is None else {**items, "description": description}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


_MODEL = _is("string", "Full id or short name.")
_OBJECTS: Schema = {"type": "array", "items": {"type": "object"}}
_MAYBE: Schema = {"type": ["object", "null"]}
_TEXT = _is("string")
_BOOL = _is("boolean")
_COUNT = _is("integer")
_HASH = _is("string", "For `apply`.")

TOOLS: tuple[ToolSpec, ...] = (
    ToolSpec(
        "overview",
        "Cluster overview",
        "Health, nodes with their free memory (GiB), loaded models, operations under way, deployments.",
        {},
        _object(healthy=_BOOL, unhealthyReasons=_list(), nodes=_OBJECTS, models=_OBJECTS, operations=_OBJECTS),
    ),
    ToolSpec(
        "find_models",
        "Find models",
        "Models of the catalogue, with size (GiB) and the nodes that hold their weights.",
        {
            "search": _is("string", "Text in id, family or quantization."),
            "loaded": _BOOL,
            "downloaded": _is("boolean", "Weights are on some node."),
            "fits": _is("boolean", "Could be loaded now beside what is loaded."),
            "first": _is("integer", "At most so many; default 10."),
        },
        _object(total=_COUNT, models=_OBJECTS),
    ),
    ToolSpec(
        "model_status",
        "Model status",
        "Whether a model serves (`ready`), and if not, how far it is or why not. `final`: waiting is useless.",
        {"model": _MODEL},
        _object(modelId=_TEXT, found=_BOOL, phase=_TEXT, ready=_BOOL, final=_BOOL, message=_TEXT),
        needs=("model",),
    ),
    ToolSpec(
        "plan",
        "Plan a load, unload or swap",
        "What loading and unloading would do: steps, memory, and if it does not fit, `unloadToFit`. Changes nothing. "
        "Pass the `hash` to `apply` to do exactly that.",
        {
            "load": _list("Models to load."),
            "unload": _list("Models to unload."),
            "minNodes": _COUNT,
            "sharding": _is("string", enum=["AUTO", "PIPELINE", "TENSOR"]),
            "nodes": _list("Exactly these nodes."),
            "drainSeconds": _is("integer", "Wait for running requests; default 30."),
        },
        _object(fits=_BOOL, reason={"type": ["string", "null"]}, steps=_list(), hash=_HASH),
    ),
    ToolSpec(
        "plan_deployment",
        "Plan a deployment",
        "What declaring a deployment would do: a model that is kept loaded, always or in windows. Changes nothing. "
        "Pass the `hash` to `apply`.",
        {
            "name": _TEXT,
            "model": _MODEL,
            "replicas": _COUNT,
            "minNodes": _COUNT,
            "nodes": _list(),
            "priority": _is("integer", "A higher one may displace a lower one."),
            "schedule": {
                "type": "array",
                "description": "When it is wanted; empty: always.",
                "items": {
                    "type": "object",
                    "properties": {
                        "cron": _is("string", "Opens the window, as '0 23 * * *'."),
                        "durationMinutes": _COUNT,
                        "timeZone": _is("string", "IANA."),
                        "readyBy": _is("boolean", "Ready at the opening."),
                    },
                    "required": ["cron", "durationMinutes"],
                },
            },
            "idleUnloadSeconds": _COUNT,
        },
        _object(plan=_object(fits=_BOOL, steps=_list(), hash=_HASH), changes=_OBJECTS),
        needs=("name", "model"),
        operators_only=True,
    ),
    ToolSpec(
        "apply",
        "Apply a plan",
        "Do exactly what a plan said, once: the same hash again returns the same operation. If the cluster has "
        "changed, nothing is done, and the error holds the plan as it is now. Then `wait` for the operation.",
        {"hash": _is("string", "From `plan` or `plan_deployment`.")},
        _object(operation=_MAYBE, deployment=_MAYBE, paused=_OBJECTS),
        needs=("hash",),
        effect=Effect.CHANGES,
        operators_only=True,
        open_world=True,
    ),
    ToolSpec(
        "wait",
        "Wait for an operation or a model",
        "Until the operation has ended, or the model is ready or will not become so; reports progress. `done` is false "
        "when the time is over: wait again. A ROLLED_BACK operation restored what was loaded; its `error` says why.",
        {
            "operation": _is("string", "Its id."),
            "model": _MODEL,
            "seconds": _is("integer", "At most; default 60, up to 300."),
        },
        _object(done=_BOOL, operation=_MAYBE, model=_MAYBE),
    ),
    ToolSpec(
        "operation",
        "Operations",
        "One operation with its steps; without `id` those under way and the last five that ended.",
        {"id": _TEXT},
        _object(operations=_OBJECTS),
    ),
    ToolSpec(
        "deployments",
        "Deployments",
        "What is kept loaded, when, and whether it is so.",
        {},
        _object(deployments=_OBJECTS),
    ),
    ToolSpec(
        "events",
        "Events",
        "What has happened, newest first: nodes, models, downloads, operations.",
        {
            "last": _is("integer", "Default 20."),
            "model": _MODEL,
            "node": _TEXT,
            "severity": {"type": "array", "items": {"enum": ["INFO", "WARNING", "ERROR"]}},
        },
        _object(events=_OBJECTS),
    ),
    ToolSpec(
        "cancel",
        "Cancel an operation",
        "Stop an operation and undo what it did.",
        {"operation": _is("string", "Its id.")},
        _object(operation={"type": "object"}),
        needs=("operation",),
        effect=Effect.CHANGES,
        operators_only=True,
    ),
    ToolSpec(
        "graphql",
        "GraphQL query",
        "Any GraphQL query for what no other tool shows. Read-only. Find fields with "
        '`{ searchSchema(query: "memory") { coordinate description } }`.',
        {"query": _TEXT, "variables": {"type": "object"}},
        _object(data=_MAYBE),
        needs=("query",),
        free_text=True,
    ),
)
BY_NAME = {tool.name: tool for tool in TOOLS}
