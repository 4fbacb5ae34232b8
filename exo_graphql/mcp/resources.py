"""Resources: the cluster, models and operations by their addresses, each with the subscription that says it changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from exo_graphql.documents import Document, document
from exo_graphql.mcp.graph import Graph, GraphError, Json, data_of

CLUSTER = "exo://cluster"
_MODELS, _OPERATIONS = "exo://models/", "exo://operations/"
TEMPLATES = (
    (f"{_MODELS}{{+id}}", "model", "A model", "What a model is, and whether it serves."),
    (f"{_OPERATIONS}{{id}}", "operation", "An operation", "A load, unload or swap, with its steps."),
)


@dataclass(frozen=True, slots=True)
class Address:
    """What a resource's address names: the documents that read and follow it."""

    read: Document
    follow: Document
    variables: Mapping[str, Any]
    follow_variables: Mapping[str, Any]


def address_of(uri: str) -> Address:
    """What this address names. Raises `GraphError` for one that is no resource's."""
    if uri == CLUSTER:
        return Address(document("mcp/overview"), document("mcp/watch_cluster"), {}, {})
    if uri.startswith(_MODELS) and len(uri) > len(_MODELS):
        name = unquote(uri.removeprefix(_MODELS))
        follow = {"model": name, "until": "NEVER"}
        return Address(document("mcp/model"), document("mcp/watch_model"), {"id": name}, follow)
    if uri.startswith(_OPERATIONS) and len(uri) > len(_OPERATIONS):
        id_ = unquote(uri.removeprefix(_OPERATIONS))
        variables = {"id": id_, "one": True}
        return Address(document("mcp/operation"), document("mcp/watch_operation"), variables, {"id": id_})
    raise GraphError(
        "RESOURCE_NOT_FOUND",
        f"There is no resource {uri!r}.",
        "Use one of `available`.",
        available=[CLUSTER, *(template for template, *_ in TEMPLATES)],
    )


async def read(graph: Graph, uri: str) -> Json:
    """The content of a resource. Raises `GraphError`."""
    address = address_of(uri)
    (content,) = data_of(await graph.ask(address.read, address.variables)).values()
    if content is None:
        raise GraphError("RESOURCE_NOT_FOUND", f"There is no resource {uri!r}.", f"Read {CLUSTER}.")
    found: Json = content
    return found


async def listed(graph: Graph) -> list[tuple[str, str, str]]:
    """Address, name and description of the cluster, the loaded models and the operations under way."""
    cluster = data_of(await graph.ask(document("mcp/overview"), {}))["cluster"]
    models = [(f"{_MODELS}{m['id']}", m["id"], m["status"]["phase"]) for m in cluster["models"]]
    operations = [(f"{_OPERATIONS}{o['id']}", o["id"], o["message"]) for o in cluster["operations"]]
    return [(CLUSTER, "cluster", "Health, nodes, loaded models, operations under way."), *models, *operations]
