"""The table of routes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from exo_graphql.rest.validation import BodyField


@dataclass(frozen=True, slots=True)
class Route:
    """A path and a method, and the document that answers them."""

    method: str
    path: str
    """As OpenAPI writes it; the names in braces are variables of the document."""
    document: str
    summary: str
    statuses: tuple[int, ...]
    """Of its errors, besides those that every route has."""
    body: tuple[BodyField, ...] = ()
    constants: Mapping[str, object] = field(default_factory=dict)
    """Fields of the PR that this server has no value for, and those that are absent where a list is empty."""
    message: str = "{message}"
    """What is said of an accepted request, with the fields of its answer; `message` is the operation's own."""
    check: str | None = None
    """A document that must find the model of `unload_model_id` loaded, before anything is done."""

    @property
    def pattern(self) -> "re.Pattern[str]":
        """Matches the decoded path. The id of a model has slashes."""
        names = re.sub(r"\{node_id\}", "(?P<node_id>[^/]+)", self.path)
        return re.compile(re.sub(r"\{model_id\}", "(?P<model_id>.+)", names), re.DOTALL)


# PR #1728's command line shows nothing but this.
_POLL = "GET /v1/cluster/models/{model_id}/status says when it is ready."
_PREFERENCES = (
    BodyField("min_nodes", int, "Minimum number of nodes to spread over, from 1.", default=1),
    BodyField(
        "preferred_sharding",
        str,
        "How to divide the model. The request is rejected if this is impossible.",
        default="auto",
        choices=("pipeline", "tensor", "auto"),
    ),
)

ROUTES = (
    Route("GET", "/v1/cluster", "overview", "The whole cluster in one answer.", (400,)),
    Route(
        "GET",
        "/v1/cluster/health",
        "health",
        "Whether the cluster is healthy.",
        (),
        constants={"uptime_seconds": None},
    ),
    Route("GET", "/v1/cluster/nodes", "nodes", "Every node.", (400,)),
    Route("GET", "/v1/cluster/nodes/{node_id}", "node", "One node, by its id or friendly name.", (400, 404)),
    Route("GET", "/v1/cluster/models", "models", "The instances of models, and the downloads under way.", (400,)),
    Route(
        "GET",
        "/v1/cluster/models/{model_id}/status",
        "model_status",
        "Whether a model is ready, by its full id or short name. An unknown name is no error. The status is `failed` "
        "also where nothing more will come by itself.",
        (400,),
        constants={"instance_id": None},
    ),
    Route(
        "POST",
        "/v1/cluster/models/load",
        "load",
        "Load a model. It is accepted at once; poll its status until `ready`.",
        (400, 404, 409, 422, 429),
        body=(BodyField("model_id", str, "The model, by its full id or short name."), *_PREFERENCES),
        constants={"instance_id": None, "placement": {}},
        message="Loading {model_id}. {message} " + _POLL.format(model_id="{model_id}"),
    ),
    Route(
        "POST",
        "/v1/cluster/models/swap",
        "swap",
        "Unload one model and load another. If the new one cannot be loaded, the old one is restored.",
        (400, 404, 409, 422, 429),
        body=(
            BodyField("unload_model_id", str, "The model to unload, by its full id or short name."),
            BodyField("load_model_id", str, "The model to load, by its full id or short name."),
            *_PREFERENCES,
        ),
        # A model that is swapped for itself stays: nothing is unloaded.
        constants={"unloaded_model": "", "freed_memory_gb": 0.0},
        message="Swapping {unloaded_model} for {loaded_model}. {message} " + _POLL.format(model_id="{loaded_model}"),
        check="swap_check",
    ),
    Route(
        "DELETE",
        "/v1/cluster/models/{model_id}",
        "unload",
        "Unload every instance of a model.",
        (400, 404, 409, 429),
        constants={"instance_id": ""},
        message="Unloading {model_id}. {message}",
    ),
)
