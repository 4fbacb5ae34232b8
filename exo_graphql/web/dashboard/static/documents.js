// Every GraphQL document that this page sends. A test validates each against the schema.

const ERROR_DETAILS = `
fragment ErrorDetails on OperationError {
  __typename
  code
  message
  suggestion
  ... on ModelNotFound { candidates }
  ... on ModelAmbiguous { candidates }
  ... on InsufficientMemory { unloadToFit { id name } }
  ... on OperationConflict { operation { id } }
}`;

/** The one subscription behind the page. Each message is the whole result, so it holds only 8 ended operations. */
export const WATCH = `
subscription Dashboard {
  cluster {
    connected stale healthy unhealthyReasons demo exoUrl apiNodeId observedAt ageSeconds staleSince linksVersion eventsVersion hints
    exoErrors { url message suggestion }
    replicas { name leader }
    losses { id at message modelId }
    nodeCount onlineNodeCount nodesWithoutMemory ramTotalGb ramUsedGb ramAvailableGb ramUsedPercent
    loadedModelCount activeTaskCount activeDownloadCount
    nodes {
      id friendlyName hardware chip osVersion status lastSeen backends ipAddresses rdmaEnabled
      ramTotalGb ramUsedGb ramAvailableGb ramUsedPercent diskAvailableGb
      gpuUsagePercent cpuPUsagePercent temperatureC powerWatts
      models { id name }
      downloads(status: [DOWNLOADING, PENDING, PAUSED, FAILED]) {
        id model { id name loaded } status error
        downloadedGb totalGb progressPercent speedMbS etaSeconds completedFiles totalFiles
      }
    }
    models {
      id name storageSizeGb quantization contextLength capabilities
      status {
        phase ready final stale progressPercent message etaSeconds
        failure { at message attempt node { id friendlyName } }
      }
      instances {
        id sharding instanceType phase progressPercent message
        shards {
          runnerId node { id friendlyName } runnerStatus startLayer endLayer memoryGb layersLoaded totalLayers error
        }
      }
    }
    deployments {
      name modelId model { id name storageSizeGb }
      replicas readyReplicas minNodes sharding instanceType nodes priority idleUnloadSeconds drainSeconds
      schedule { cron durationMinutes timeZone readyBy }
      managedBy generation wanted ready state reason pausedUntil openUntil nextOpening
      lastFailure { at message } attempts retryAt
      operation { id progressPercent message }
      ownInstances { id sharding instanceType model { name } shards { node { id friendlyName } } }
    }
    tasks { id kind status active commandId instance { id } model { id name } }
    operations(ended: 8) {
      id kind state message progressPercent startedAt finishedAt
      loads { id name }
      unloads { id name }
      steps { name state message startedAt finishedAt }
      error { code message suggestion }
    }
  }
}`;

/**
 * Whether mutations are accepted: a token with the scope `read` is refused this one, and a server with --read-only has
 * none. Its one field is skipped, so it does nothing.
 */
export const MAY_CHANGE = `mutation MayChange { resumeDeployment(name: "") @skip(if: true) { __typename } }`;

export const EVENTS = `query Events { events(last: 60) { id at kind severity message by acknowledged } }`;

/** 496 where 32 nodes all reach each other: not in the subscription, which says when they change. */
export const LINKS = `query Links { cluster { links { nodes { id friendlyName } medium bestMedium status since } } }`;

/** Once for all nodes: the page continues it from the subscription. */
export const HISTORY = `
query History {
  nodes { id history(minutes: 60, points: 120) { at ramUsedGb gpuUsagePercent temperatureC powerWatts } }
}`;

export const ACKNOWLEDGE = `
mutation Acknowledge($event: ID!) {
  payload: acknowledge(event: $event) {
    event { id }
    error { ...ErrorDetails }
  }
}${ERROR_DETAILS}`;

/** Fails before the server has a state of exo, with what each URL of exo said. */
export const WHY = `query Why { cluster { connected } }`;

export const SEARCH = `
query Search($search: String) {
  models(search: $search) {
    id name quantization storageSizeGb loaded
    downloads(status: [COMPLETED]) { node { id } }
  }
  fitting: models(search: $search, fits: true) { id }
}`;

/** What a load or a swap would do. Names of nodes are in the subscription: with them, 128 nodes would cost too much. */
export const PLAN = `
query Plan($load: [String!]!, $unload: [String!]!, $minNodes: Int!, $nodes: [ID!], $additional: Boolean!,
  $sharding: ShardingPreference!, $instanceType: InstanceTypePreference!) {
  plan(load: $load, unload: $unload, minNodes: $minNodes, nodes: $nodes, additional: $additional,
    sharding: $sharding, instanceType: $instanceType) {
    hash steps loadFirst
    adopts { id }
    unloads { id name }
    unloadInstances { id }
    downloads { gib node { id } }
    pauses { name }
    unloadToFit { id name }
    placements { sharding instanceType fits reason nodes { node { id } addedGb availableGb } }
    error { ...ErrorDetails }
  }
}${ERROR_DETAILS}`;

/** Does exactly what the plan says that was shown. */
export const APPLY_PLAN = `
mutation ApplyPlan($hash: String!, $key: String) {
  payload: applyPlan(hash: $hash, idempotencyKey: $key) {
    operation { id }
    paused { name pausedUntil }
    error { ...ErrorDetails }
  }
}${ERROR_DETAILS}`;

export const UNLOAD = `
mutation Unload($model: String!, $instance: ID, $drainSeconds: Int!, $key: String!) {
  payload: unloadModel(model: $model, instance: $instance, drainSeconds: $drainSeconds, idempotencyKey: $key) {
    operation { id }
    paused { name pausedUntil }
    error { ...ErrorDetails }
  }
}${ERROR_DETAILS}`;

export const CANCEL = `
mutation Cancel($id: ID!) {
  payload: cancelOperation(id: $id) {
    operation { id }
    paused { name pausedUntil }
    error { ...ErrorDetails }
  }
}${ERROR_DETAILS}`;

export const CANCEL_TASK = `
mutation CancelTask($id: ID!) {
  payload: cancelTask(id: $id) {
    task { id }
    error { ...ErrorDetails }
  }
}${ERROR_DETAILS}`;

const DETAILS_OF_DOWNLOAD = `
fragment DownloadDetails on DownloadPayload {
  results { accepted error }
  paused { name pausedUntil }
  error { ...ErrorDetails }
}`;

export const START_DOWNLOAD = `
mutation StartDownload($model: String!, $nodes: [ID!]!) {
  payload: startDownload(model: $model, nodes: $nodes) { ...DownloadDetails }
}${DETAILS_OF_DOWNLOAD}${ERROR_DETAILS}`;

export const CANCEL_DOWNLOAD = `
mutation CancelDownload($model: String!, $nodes: [ID!]!) {
  payload: cancelDownload(model: $model, nodes: $nodes) { ...DownloadDetails }
}${DETAILS_OF_DOWNLOAD}${ERROR_DETAILS}`;

export const DELETE_DOWNLOAD = `
mutation DeleteDownload($model: String!, $nodes: [ID!]!) {
  payload: deleteDownload(model: $model, nodes: $nodes) { ...DownloadDetails }
}${DETAILS_OF_DOWNLOAD}${ERROR_DETAILS}`;

/** The complete weights on the nodes. Not in the subscription: a node may hold dozens, and they rarely change. */
export const WEIGHTS = `
query Weights {
  downloads(status: [COMPLETED]) {
    id totalGb
    node { id friendlyName }
    model { id name loaded }
  }
}`;

const DETAILS_OF_PLAN = `
fragment PlanDetails on Plan {
  fits reason steps loadFirst neededGb availableGb shortfallGb
  loads { id name }
  nodes { id friendlyName }
  adopts { ...Place }
  unloadInstances { ...Place }
  downloads { gib node { id friendlyName } }
}
fragment Place on Instance {
  id model { name } sharding instanceType
  shards { node { id friendlyName } }
}`;

export const APPLY = `
mutation Apply($name: ID!, $model: String!, $replicas: Int!, $minNodes: Int!, $sharding: ShardingPreference!,
  $instanceType: InstanceTypePreference!, $nodes: [ID!], $priority: Int!, $schedule: [WindowInput!]!,
  $idleUnloadSeconds: Int, $drainSeconds: Int!, $ifGeneration: Int!, $dryRun: Boolean!) {
  payload: applyDeployment(name: $name, model: $model, replicas: $replicas, minNodes: $minNodes, sharding: $sharding,
    instanceType: $instanceType, nodes: $nodes, priority: $priority, schedule: $schedule,
    idleUnloadSeconds: $idleUnloadSeconds, drainSeconds: $drainSeconds, ifGeneration: $ifGeneration, dryRun: $dryRun) {
    deployment { name }
    changes { argument before after }
    openUntil nextOpening
    plan { ...PlanDetails }
    error { ...ErrorDetails }
  }
}${DETAILS_OF_PLAN}${ERROR_DETAILS}`;

export const PAUSE = `
mutation Pause($name: ID!, $until: DateTime) {
  payload: pauseDeployment(name: $name, until: $until) {
    deployment { name }
    error { ...ErrorDetails }
  }
}${ERROR_DETAILS}`;

export const RESUME = `
mutation Resume($name: ID!) {
  payload: resumeDeployment(name: $name) {
    deployment { name }
    error { ...ErrorDetails }
  }
}${ERROR_DETAILS}`;

export const DELETE = `
mutation Delete($name: ID!, $unload: Boolean!) {
  payload: deleteDeployment(name: $name, unload: $unload) {
    deployment { name }
    error { ...ErrorDetails }
  }
}${ERROR_DETAILS}`;

/** What is wanted in each entry follows from what is at first and what changes: listing it would be refused for 200. */
export const CALENDAR = `
query Calendar($from: DateTime!) {
  calendar(days: 14, from: $from) {
    from until fitsTogether reason
    transition { loads { name } unloads { name } note }
  }
}`;
