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
    connected stale healthy unhealthyReasons exoUrl apiNodeId observedAt
    nodeCount onlineNodeCount nodesWithoutMemory ramTotalGb ramUsedGb ramAvailableGb ramUsedPercent
    loadedModelCount activeTaskCount activeDownloadCount
    nodes {
      id friendlyName hardware chip osVersion status lastSeen backends ipAddresses rdmaEnabled
      ramTotalGb ramUsedGb ramAvailableGb ramUsedPercent diskAvailableGb
      gpuUsagePercent cpuPUsagePercent temperatureC powerWatts
      models { id name }
      downloads(status: [DOWNLOADING, PENDING, PAUSED, FAILED]) {
        id model { id name } status error
        downloadedGb totalGb progressPercent speedMbS etaSeconds completedFiles totalFiles
      }
    }
    models {
      id name storageSizeGb quantization
      status {
        phase ready final stale progressPercent message etaSeconds
        failure { at message attempt node { id friendlyName } }
      }
      instances {
        id sharding instanceType phase progressPercent message
        shards {
          runnerId node { id friendlyName } runnerStatus startLayer endLayer layersLoaded totalLayers error
        }
      }
    }
    tasks(status: [PENDING, RUNNING]) { id kind status active model { name } }
    operations(ended: 8) {
      id kind state message progressPercent startedAt finishedAt
      loads { id name }
      unloads { id name }
      steps { name state message startedAt finishedAt }
      error { code message suggestion }
    }
  }
}`;

/** Whether this server has mutations: with --read-only it has none. */
export const MAY_CHANGE = `query MayChange { __schema { mutationType { name } } }`;

export const SEARCH = `
query Search($search: String) {
  models(search: $search) {
    id name quantization storageSizeGb loaded
    downloads(status: [COMPLETED]) { node { id } }
  }
}`;

export const PLACEMENTS = `
query WhatIf($model: String!, $minNodes: Int, $nodes: [ID!], $unload: [String!]) {
  placements(model: $model, minNodes: $minNodes, nodes: $nodes, unload: $unload) {
    sharding instanceType fits reason
    nodes { node { id friendlyName ramTotalGb ramAvailableGb } addedGb availableGb }
  }
}`;

export const LOAD = `
mutation Load($model: String!, $minNodes: Int!, $sharding: ShardingPreference!, $instanceType: InstanceTypePreference!,
  $nodes: [ID!], $additional: Boolean!, $key: String!) {
  payload: loadModel(model: $model, minNodes: $minNodes, sharding: $sharding, instanceType: $instanceType, nodes: $nodes,
    additional: $additional, idempotencyKey: $key) {
    operation { id }
    error { ...ErrorDetails }
  }
}${ERROR_DETAILS}`;

export const SWAP = `
mutation Swap($unload: [String!]!, $load: [String!]!, $minNodes: Int!, $sharding: ShardingPreference!,
  $instanceType: InstanceTypePreference!, $nodes: [ID!], $key: String!) {
  payload: swapModels(unload: $unload, load: $load, minNodes: $minNodes, sharding: $sharding, instanceType: $instanceType,
    nodes: $nodes, idempotencyKey: $key) {
    operation { id }
    error { ...ErrorDetails }
  }
}${ERROR_DETAILS}`;

export const UNLOAD = `
mutation Unload($model: String!, $instance: ID, $drainSeconds: Int!, $key: String!) {
  payload: unloadModel(model: $model, instance: $instance, drainSeconds: $drainSeconds, idempotencyKey: $key) {
    operation { id }
    error { ...ErrorDetails }
  }
}${ERROR_DETAILS}`;

export const CANCEL = `
mutation Cancel($id: ID!) {
  payload: cancelOperation(id: $id) {
    operation { id }
    error { ...ErrorDetails }
  }
}${ERROR_DETAILS}`;
