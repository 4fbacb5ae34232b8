"""How long the lists of the schema's fields are, and which fields cost more than their values: the tables of `cost`."""

from collections.abc import Callable, Mapping

from graphql import GraphQLObjectType, GraphQLSchema, get_named_type

from exo_graphql.engine.list_sizes import ListSizes
from exo_graphql.schema.event import DEFAULT_EVENTS, MAX_EVENTS
from exo_graphql.schema.history import DEFAULT_POINTS
from exo_graphql.schema.search import MAX_MATCHES
from exo_graphql.series import MAX_POINTS
from exo_graphql.webhooks.target import MAX_TARGETS

Size = Callable[[ListSizes], float]

# The length of each field's list. Arguments may make it shorter; the estimate does not rely on that.
LISTS: Mapping[tuple[str, str], Size] = {
    ("Query", "nodes"): lambda s: s.nodes,
    ("Query", "models"): lambda s: s.models,
    ("Query", "downloads"): lambda s: s.started_downloads,
    ("Query", "tasks"): lambda s: s.tasks,
    ("Query", "placements"): lambda _: 8.0,  # shardings times engines
    ("Query", "operations"): lambda s: s.operations,
    ("Query", "instanceLinks"): lambda s: s.loaded,
    ("Instance", "links"): lambda s: s.instances_of_model,
    ("InstanceLink", "prefill"): lambda s: s.instances_of_model,
    ("InstanceLink", "decode"): lambda s: s.instances_of_model,
    ("Query", "searchHub"): lambda _: 100.0,
    ("Query", "deployments"): lambda s: s.deployments,
    ("Query", "calendar"): lambda s: s.calendar_entries,
    ("Query", "searchSchema"): lambda _: float(MAX_MATCHES),
    ("Query", "webhooks"): lambda _: float(MAX_TARGETS),
    ("TestWebhooksPayload", "results"): lambda _: float(MAX_TARGETS),
    ("Subscription", "deployments"): lambda s: s.deployments,
    ("CalendarEntry", "deployments"): lambda s: s.deployments,
    ("CalendarTransition", "loads"): lambda s: s.calendar_changes,
    ("CalendarTransition", "unloads"): lambda s: s.calendar_changes,
    ("Deployment", "instances"): lambda s: s.instances_of_model,
    ("Deployment", "ownInstances"): lambda s: s.instances_of_model,
    ("Deployment", "schedule"): lambda _: 4.0,
    ("Plan", "loads"): lambda s: s.models_of_operation,
    ("Plan", "placements"): lambda _: 8.0,
    ("Plan", "unloadToFit"): lambda s: s.loaded,
    ("Plan", "pauses"): lambda s: s.deployments,
    ("Plan", "unloads"): lambda s: s.loaded,
    ("Plan", "unloadInstances"): lambda s: s.loaded,
    ("Plan", "adopts"): lambda s: s.instances_of_model,
    ("Plan", "nodes"): lambda s: s.nodes,
    ("Plan", "downloads"): lambda s: s.nodes,
    ("ApplyDeploymentPayload", "changes"): lambda _: 11.0,  # as many as a deployment has arguments
    ("LoadModelPayload", "paused"): lambda s: s.deployments,
    ("UnloadModelPayload", "paused"): lambda s: s.deployments,
    ("SwapModelsPayload", "paused"): lambda s: s.deployments,
    ("ApplyPlanPayload", "paused"): lambda s: s.deployments,
    ("CancelOperationPayload", "paused"): lambda s: s.deployments,
    ("DownloadPayload", "paused"): lambda s: s.deployments,
    ("Subscription", "nodes"): lambda s: s.nodes,
    ("Subscription", "downloads"): lambda s: s.started_downloads,
    ("Subscription", "tasks"): lambda s: s.tasks,
    ("Cluster", "nodes"): lambda s: s.nodes,
    ("Cluster", "models"): lambda s: s.loaded,
    ("Cluster", "tasks"): lambda s: s.tasks,
    ("Cluster", "downloads"): lambda s: s.started_downloads,
    ("Cluster", "operations"): lambda s: s.operations,
    ("Cluster", "deployments"): lambda s: s.deployments,
    ("Cluster", "links"): lambda s: s.links,
    ("Link", "nodes"): lambda _: 2.0,
    ("Cluster", "losses"): lambda s: s.losses,
    ("Cluster", "exoErrors"): lambda s: s.exo_errors,
    ("Cluster", "replicas"): lambda _: 3.0,  # two or three in practice
    ("Node", "models"): lambda s: s.models_on_node,
    ("Node", "downloads"): lambda s: s.started_on_node,
    ("Node", "tasks"): lambda s: s.tasks,
    ("Node", "connections"): lambda s: s.connections,
    ("Model", "instances"): lambda s: s.instances_of_model,
    ("Model", "nodes"): lambda s: s.nodes_of_model,
    ("Model", "downloadedOn"): lambda s: s.nodes,
    ("Model", "downloads"): lambda s: s.started_of_model,
    ("Model", "tasks"): lambda s: s.tasks,
    ("ModelStatus", "nodes"): lambda s: s.nodes_of_model,
    ("ModelStatus", "instances"): lambda s: s.instances_of_model,
    ("Instance", "shards"): lambda s: s.shards,
    ("Placement", "nodes"): lambda s: s.nodes,
    ("Operation", "steps"): lambda s: s.steps,
    ("Operation", "loads"): lambda s: s.models_of_operation,
    ("Operation", "unloads"): lambda s: s.models_of_operation,
    ("ModelNotLoaded", "loaded"): lambda s: s.loaded,
    ("InsufficientMemory", "loaded"): lambda s: s.loaded,
    ("InsufficientMemory", "unloadToFit"): lambda s: s.loaded,
    ("DownloadPayload", "results"): lambda s: s.nodes,
}
# Fields with an argument that says how many: its name, its default, and the most that it may be.
SIZED_BY: Mapping[tuple[str, str], tuple[str, int, int]] = {
    ("Query", "events"): ("last", DEFAULT_EVENTS, MAX_EVENTS),
    ("Cluster", "history"): ("points", DEFAULT_POINTS, MAX_POINTS),
    ("Node", "history"): ("points", DEFAULT_POINTS, MAX_POINTS),
}
# The same where an argument `status` may select the downloads that never started, which exo lists too.
DOWNLOADS_BY_STATUS: Mapping[str, Size] = {
    "Query": lambda s: s.all_downloads,
    "Node": lambda s: s.downloads_on_node,
    "Model": lambda s: s.nodes,
}
# Fields that look a model up by name: this may compare the name with every model's.
LOOKUPS: Mapping[str, frozenset[str]] = {
    "Query": frozenset({"model", "modelStatus", "models", "placements", "plan"}),
    "Subscription": frozenset({"modelStatus"}),
}
LOOKUP_ARGUMENTS = frozenset({"model", "search"})
# Fields that walk over all tasks and shards for each node or model.
WALKS = frozenset({("Node", "tasks"), ("Model", "tasks")})
# Fields that call exo, besides the mutations.
EXO_CALLS = frozenset({("Query", "placements"), ("Query", "plan"), ("Query", "searchHub")})
# The field that computes on a thread, and whose result is completed on the event loop.
CALENDAR = ("Query", "calendar")


def introspection_sizes(schema: GraphQLSchema) -> Mapping[tuple[str, str], float]:
    """The lengths of introspection's lists: exact for the schema's, averages for those of its types and fields."""
    types = [type_ for type_ in schema.type_map.values() if isinstance(type_, GraphQLObjectType)]
    fields = [f for type_ in types for f in type_.fields.values()]
    # `type { fields { type { fields` reaches large types more often than small ones: each as often as fields have it.
    reached = [get_named_type(f.type) for f in fields]
    mean_of_reached = sum(len(t.fields) for t in reached if isinstance(t, GraphQLObjectType)) / max(1, len(fields))
    mean = sum(len(t.fields) for t in types) / max(1, len(schema.type_map))
    arguments = sum(len(f.args) for f in fields) / max(1, len(fields))
    return {
        ("__Schema", "types"): float(len(schema.type_map)),
        ("__Schema", "directives"): float(len(schema.directives)),
        ("__Type", "fields"): max(mean, mean_of_reached),
        ("__Type", "inputFields"): 1.0,
        ("__Type", "interfaces"): 1.0,
        ("__Type", "possibleTypes"): 1.0,
        ("__Type", "enumValues"): 2.0,
        ("__Field", "args"): max(1.0, arguments),
        ("__Directive", "args"): 2.0,
    }
