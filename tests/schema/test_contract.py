"""The schema is the public contract: names, types, descriptions, and the printed file."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    Undefined,
    is_introspection_type,
    is_specified_scalar_type,
    print_ast,
)
from graphql.utilities import ast_from_value, print_schema

from exo_graphql.schema.build import build_schema, print_sorted
from tests.support.asking import SCHEMA

ROOT = Path(__file__).parents[2]

# The public interface: scripts are written against these names and types. A type without "!" may be null.
CONTRACT = {
    "Query": """
        cluster: Cluster!
        nodes: [Node!]!
        node(id: ID!): Node
        models(loaded: Boolean, search: String, downloaded: Boolean, fits: Boolean): [Model!]!
        model(id: ID!): Model
        modelStatus(model: String!, until: ModelStatusUntil = READY, waitSeconds: Int): ModelStatus!
        downloads(status: [DownloadStatus!], model: String, node: ID): [Download!]
        tasks(status: [TaskStatus!], kind: [TaskKind!], model: String): [Task!]
        placements(model: String!, minNodes: Int, nodes: [ID!], unload: [String!]): [Placement!]
        plan(load: [String!], unload: [String!], minNodes: Int = 1, sharding: ShardingPreference = AUTO, \
instanceType: InstanceTypePreference = AUTO, nodes: [ID!], drainSeconds: Int = 30, additional: Boolean = false, \
instance: ID, timeoutSeconds: Int, attempts: Int, hash: String): Plan!
        instanceLinks: [InstanceLink!]!
        searchHub(query: String!, limit: Int = 20): [HubModel!]!
        operation(id: ID!, waitSeconds: Int): Operation
        operations(active: Boolean): [Operation!]!
        deployments: [Deployment!]!  deployment(name: ID!): Deployment
        calendar(days: Int = 14, from: DateTime, timeZone: String): [CalendarEntry!]!
    """,
    "Mutation": """
        loadModel(model: String!, minNodes: Int = 1, sharding: ShardingPreference = AUTO, \
instanceType: InstanceTypePreference = AUTO, nodes: [ID!], additional: Boolean = false, timeoutSeconds: Int, \
idempotencyKey: String, attempts: Int): LoadModelPayload!
        unloadModel(model: String!, instance: ID, drainSeconds: Int = 30, idempotencyKey: String): UnloadModelPayload!
        swapModels(unload: [String!]!, load: [String!]!, minNodes: Int = 1, sharding: ShardingPreference = AUTO, \
instanceType: InstanceTypePreference = AUTO, nodes: [ID!], drainSeconds: Int = 30, timeoutSeconds: Int, \
idempotencyKey: String, attempts: Int): SwapModelsPayload!
        addModel(id: ID!): AddModelPayload!  removeModel(id: ID!): RemoveModelPayload!
        applyPlan(hash: String!, idempotencyKey: String): ApplyPlanPayload!
        startDownload(model: String!, nodes: [ID!]): DownloadPayload!
        cancelDownload(model: String!, nodes: [ID!]): DownloadPayload!
        deleteDownload(model: String!, nodes: [ID!]): DownloadPayload!
        cancelTask(id: ID!): CancelTaskPayload!
        cancelOperation(id: ID!): CancelOperationPayload!  resumeOperation(id: ID!): ResumeOperationPayload!
        applyDeployment(name: ID!, model: String!, replicas: Int = 1, minNodes: Int = 1, \
sharding: ShardingPreference = AUTO, instanceType: InstanceTypePreference = AUTO, nodes: [ID!], priority: Int = 0, \
schedule: [WindowInput!] = [], idleUnloadSeconds: Int, drainSeconds: Int = 30, dryRun: Boolean = false, \
ifGeneration: Int): ApplyDeploymentPayload!
        deleteDeployment(name: ID!, unload: Boolean = true): DeleteDeploymentPayload!
        pauseDeployment(name: ID!, until: DateTime): PauseDeploymentPayload!
        resumeDeployment(name: ID!): ResumeDeploymentPayload!
    """,
    "Subscription": """
        modelStatus(model: String!, until: ModelStatusUntil = NEVER): ModelStatus!
        cluster: Cluster!
        operation(id: ID!): Operation!
        downloads(model: String, node: ID): [Download!]!
        tasks(model: String): [Task!]!
        nodes: [Node!]!
    """,
    "Cluster": """
        healthy: Boolean!  unhealthyReasons: [String!]!  nodeCount: Int!  onlineNodeCount: Int!
        nodesWithoutMemory: Int!  ramTotalGb: Float  ramAvailableGb: Float  ramUsedGb: Float  ramUsedPercent: Float
        loadedModelCount: Int!  activeTaskCount: Int!  activeDownloadCount: Int!  nodes: [Node!]!  models: [Model!]!
        downloads: [Download!]!  deployments: [Deployment!]!  stateVersion: String!  observedAt: DateTime!
        ageSeconds: Float!  connected: Boolean!  stale: Boolean!  apiNodeId: ID  exoUrl: String!  demo: Boolean!
    """,
    "Node": """
        id: ID!  friendlyName: String  chip: String  osVersion: String  ramTotalGb: Float  ramAvailableGb: Float
        ramUsedGb: Float  ramUsedPercent: Float  diskTotalGb: Float  diskAvailableGb: Float  gpuUsagePercent: Float
        cpuPUsagePercent: Float  cpuEUsagePercent: Float  temperatureC: Float  powerWatts: Float
        ipAddresses: [String!]  connectionTypes: [String!]  hasThunderbolt: Boolean  rdmaEnabled: Boolean
        backends: [String!]  status: NodeStatus!  lastSeen: DateTime  secondsSinceSeen: Float  models: [Model!]!
        downloads(status: [DownloadStatus!]): [Download!]!  tasks: [Task!]!  connections: [Connection!]!
    """,
    "Model": """
        id: ID!  name: String!  family: String  quantization: String  baseModel: String  storageSizeGb: Float
        layerCount: Int  contextLength: Int  capabilities: [String!]!  supportsTensor: Boolean  isCustom: Boolean
        loaded: Boolean!  ready: Boolean!  status: ModelStatus!  instances: [Instance!]!  nodes: [Node!]!
        downloads(status: [DownloadStatus!]): [Download!]!  tasks: [Task!]!
    """,
    "Instance": """
        id: ID!  model: Model!  sharding: Sharding  instanceType: InstanceType  phase: Phase!  ready: Boolean!
        progressPercent: Float  shards: [Shard!]!
    """,
    "Shard": """
        node: Node  runnerId: ID!  runnerStatus: RunnerStatus  startLayer: Int  endLayer: Int  layerCount: Int
        layersLoaded: Int  totalLayers: Int  rank: Int  worldSize: Int  error: String
        memoryGb: Float
    """,
    "ModelStatus": """
        modelId: String!  model: Model  found: Boolean!  phase: Phase!  ready: Boolean!  final: Boolean!
        stale: Boolean!  progressPercent: Float  message: String!  etaSeconds: Float  nodes: [Node!]!
        instances: [Instance!]!  failure: Failure  changedAt: DateTime  observedAt: DateTime  readyInstances: Int!
        attempt: Int
    """,
    "Failure": "at: DateTime!  message: String!  node: Node  attempt: Int  cause: String",
    "Download": """
        id: ID!  node: Node!  model: Model!  status: DownloadStatus!  downloadedGb: Float  totalGb: Float
        progressPercent: Float  speedMbS: Float  etaSeconds: Float  completedFiles: Int  totalFiles: Int  error: String
    """,
    "Task": """
        id: ID!  kind: TaskKind!  status: TaskStatus!  active: Boolean!  model: Model  instance: Instance
        commandId: String  errorType: String  errorMessage: String
    """,
    "Placement": "sharding: Sharding!  instanceType: InstanceType!  fits: Boolean!  reason: String  \
nodes: [PlacementNode!]!",
    "PlacementNode": "node: Node  addedGb: Float  availableGb: Float",
    "Operation": """
        id: ID!  kind: OperationKind!  state: OperationState!  message: String!  progressPercent: Float
        steps: [Step!]!  startedAt: DateTime!  finishedAt: DateTime  loads: [Model!]!  unloads: [Model!]!
        error: OperationError
    """,
    "Step": "name: String!  state: StepState!  startedAt: DateTime  finishedAt: DateTime  message: String",
    **dict.fromkeys(
        ("LoadModelPayload", "UnloadModelPayload", "SwapModelsPayload", "CancelOperationPayload"),
        "operation: Operation  error: OperationError  paused: [Deployment!]!",
    ),
    "Deployment": """
        name: String!  model: Model!  modelId: String!  replicas: Int!  minNodes: Int!  sharding: ShardingPreference!
        instanceType: InstanceTypePreference!  nodes: [String!]  priority: Int!  schedule: [Window!]!
        idleUnloadSeconds: Int  drainSeconds: Int!  managedBy: ManagedBy!  generation: Int!  observedGeneration: Int!
        wanted: Boolean!  state: DeploymentState!  reason: String!  ready: Boolean!  readyReplicas: Int!
        instances: [Instance!]!  operation: Operation  lastFailure: DeploymentFailure  attempts: Int!
        retryAt: DateTime  pausedUntil: DateTime  pausedBecause: String  openUntil: DateTime  nextOpening: DateTime
        changedAt: DateTime
    """,
    "Window": "cron: String!  durationMinutes: Int!  timeZone: String!  readyBy: Boolean!",
    "CalendarEntry": """
        from: DateTime!  until: DateTime!  deployments: [Deployment!]!  fitsTogether: Boolean!  reason: String
        transition: CalendarTransition!
    """,
    "ApplyDeploymentPayload": "deployment: Deployment  plan: Plan  error: OperationError",
    "DeleteDeploymentPayload": "deployment: Deployment  error: OperationError",
    "PauseDeploymentPayload": "deployment: Deployment  error: OperationError",
    "ResumeDeploymentPayload": "deployment: Deployment  error: OperationError",
    "CancelTaskPayload": "task: Task  error: OperationError",
    "DownloadPayload": "results: [NodeDownloadResult!]!  error: OperationError  paused: [Deployment!]!",
    "NodeDownloadResult": "node: Node  accepted: Boolean!  error: String",
    "OperationError": "code: ErrorCode!  message: String!  suggestion: String",
    "ModelNotFound": "candidates: [String!]!",
    "ModelAmbiguous": "candidates: [String!]!",
    "ModelNotLoaded": "loaded: [Model!]!",
    "InsufficientMemory": """
        neededGb: Float!  availableGb: Float!  shortfallGb: Float!  loaded: [Model!]!  unloadToFit: [Model!]!
    """,
    "PlacementRefused": "reason: String!",
    "OperationConflict": "operation: Operation",
    "IdempotencyKeyReused": "operation: Operation",
    "ClusterUnavailable": "lastSeenAt: DateTime",
    "InvalidArgument": "argument: String!",
}
ENUMS = {
    "DeploymentState": "READY PROGRESSING RETRYING UNSATISFIABLE PAUSED IDLE OFF WAITING",
    "ManagedBy": "API FILE",
    "Phase": "NOT_LOADED WAITING DOWNLOADING CONNECTING LOADING WARMING_UP READY RUNNING UNLOADING UNREACHABLE FAILED",
    "NodeStatus": "ONLINE STALE UNKNOWN",
    "RunnerStatus": "IDLE CONNECTING CONNECTED LOADING LOADED WARMING_UP READY RUNNING SHUTTING_DOWN FAILED UNKNOWN",
    "Sharding": "PIPELINE TENSOR CFG",
    "InstanceType": "MLX_RING MLX_JACCL",
    "DownloadStatus": "NOT_STARTED PENDING DOWNLOADING PAUSED COMPLETED FAILED UNKNOWN",
    "TaskKind": "TEXT_GENERATION IMAGE_GENERATION IMAGE_EDIT CREATE_RUNNER DOWNLOAD_MODEL CONNECT_TO_GROUP LOAD_MODEL "
    "START_WARMUP CANCEL_TASK SHUTDOWN UNKNOWN",
    "TaskStatus": "PENDING RUNNING COMPLETE TIMED_OUT FAILED CANCELLED UNKNOWN",
    "ModelStatusUntil": "NEVER READY SETTLED",
    "ShardingPreference": "AUTO PIPELINE TENSOR",
    "InstanceTypePreference": "AUTO MLX_RING MLX_JACCL",
    "OperationKind": "LOAD UNLOAD SWAP",
    "OperationState": "PENDING RUNNING SUCCEEDED FAILED ROLLED_BACK CANCELLED PARKED",
}


def _signature(name: str, field: GraphQLField) -> str:
    written = []
    for argument_name, argument in field.args.items():
        default = ast_from_value(argument.default_value, argument.type)
        shown = "" if argument.default_value is Undefined or default is None else f" = {print_ast(default)}"
        written.append(f"{argument_name}: {argument.type}{shown}")
    arguments = f"({', '.join(written)})" if written else ""
    return f"{name}{arguments}: {field.type}"


def _public(kind: type[GraphQLNamedType]) -> Iterator[GraphQLNamedType]:
    for type_ in SCHEMA.type_map.values():
        if isinstance(type_, kind) and not is_introspection_type(type_) and not is_specified_scalar_type(type_):
            yield type_


@pytest.mark.parametrize("name", CONTRACT)
def test_every_public_field_exists_with_its_type(name: str) -> None:
    type_ = SCHEMA.type_map[name]
    assert isinstance(type_, GraphQLObjectType | GraphQLInterfaceType)
    signatures = {_signature(*item) for item in type_.fields.items()}
    reserved = {
        part.strip() for line in CONTRACT[name].strip().splitlines() for part in line.split("  ") if part.strip()
    }
    assert reserved - signatures == set()


@pytest.mark.parametrize("name", ["tasks", "operations"])
def test_the_arguments_of_a_list_of_the_cluster_are_optional(name: str) -> None:
    cluster = SCHEMA.type_map["Cluster"]
    assert isinstance(cluster, GraphQLObjectType)
    field = cluster.fields[name]
    assert str(field.type) == {"tasks": "[Task!]!", "operations": "[Operation!]!"}[name]
    assert not any(str(argument.type).endswith("!") for argument in field.args.values())


@pytest.mark.parametrize("name", ENUMS)
def test_every_enum_has_exactly_its_public_values(name: str) -> None:
    type_ = SCHEMA.type_map[name]
    assert isinstance(type_, GraphQLEnumType)
    assert set(type_.values) == set(ENUMS[name].split())


def test_every_error_type_is_an_operation_error_and_its_code_is_its_name_in_capitals() -> None:
    interface, codes = SCHEMA.type_map["OperationError"], SCHEMA.type_map["ErrorCode"]
    assert isinstance(interface, GraphQLInterfaceType)
    assert isinstance(codes, GraphQLEnumType)
    types = {type_.name for type_ in SCHEMA.get_possible_types(interface)}
    assert {code.replace("_", "").lower() for code in codes.values} == {name.lower() for name in types}


def _descriptions() -> Iterator[tuple[str, str | None]]:
    for type_ in _public(GraphQLNamedType):
        yield type_.name, type_.description
        if isinstance(type_, GraphQLEnumType):
            for name, value in type_.values.items():
                yield f"{type_.name}.{name}", value.description
        elif isinstance(type_, GraphQLInputObjectType):
            for name, input_field in type_.fields.items():
                yield f"{type_.name}.{name}", input_field.description
        elif isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for name, field in type_.fields.items():
                yield f"{type_.name}.{name}", field.description
                for argument_name, argument in field.args.items():
                    yield f"{type_.name}.{name}({argument_name})", argument.description


def test_everything_carries_a_description_that_ends_with_a_period() -> None:
    descriptions = dict(_descriptions())
    assert len(descriptions) > 400
    assert {
        name for name, text in descriptions.items() if not text or not text.endswith(".") or text != text.strip()
    } == set()


@pytest.mark.parametrize("name", ["Cluster", "Node", "Model", "Download", "PlacementNode", "InsufficientMemory"])
def test_a_field_that_ends_with_gb_describes_its_unit(name: str) -> None:
    type_ = SCHEMA.type_map[name]
    assert isinstance(type_, GraphQLObjectType)
    fields = {key: field.description or "" for key, field in type_.fields.items() if key.endswith("Gb")}
    assert fields
    assert all("GiB" in text for text in fields.values())
    assert any("2^30" in text for text in fields.values())


def test_clock_fields_say_that_they_never_cause_a_message() -> None:
    clocks = {"ageSeconds", "observedAt", "lastSeen", "secondsSinceSeen", "staleSince", "stateVersion"}
    descriptions = {name: text or "" for name, text in _descriptions() if name.rsplit(".", 1)[-1] in clocks}
    assert set(descriptions) == {
        "Cluster.ageSeconds",
        "Cluster.observedAt",
        "Cluster.staleSince",
        "Cluster.stateVersion",
        "ModelStatus.observedAt",
        "Node.lastSeen",
        "Node.secondsSinceSeen",
    }
    assert {name for name, text in descriptions.items() if "lock field" not in text or "never" not in text} == set()


def test_the_printed_schema_is_the_schema() -> None:
    assert (ROOT / "schema.graphql").read_text() == print_sorted(build_schema())


def test_a_read_only_schema_lacks_only_the_mutations() -> None:
    read_only = build_schema(read_only=True)
    assert read_only.mutation_type is None
    assert "type Query" in print_schema(read_only)
    assert SCHEMA.mutation_type is not None
