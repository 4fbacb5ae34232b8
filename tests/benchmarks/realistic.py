"""Documents as real clients write them: operations with names, variables, fragments, directives and comments.

Each `@@` becomes a number, new each time, so that no text was seen before. They need the cluster of `scenario`.
"""

from tests.benchmarks.load import Query
from tests.benchmarks.scenario import OVERVIEW, SECOND_MODEL

NODE_ID = "@node"
"""Stands for the id of a node, in variables."""
_ALL = ("NOT_STARTED", "PENDING", "DOWNLOADING", "PAUSED", "COMPLETED", "FAILED", "UNKNOWN")


PLAIN = Query(OVERVIEW.replace("nodeCount", "count@@: nodeCount").replace("status ", "status@@: status "))
# The fields of `scenario.OVERVIEW`, as Apollo's client prints them: with `__typename` in every selection set. As in
# `PLAIN`, each document has a key of its own, so that no other's bytes fit.
_APOLLO = Query(
    """query ClusterPage@@($statuses: [DownloadStatus!]!) {
  cluster {
    ...ClusterSummary
    nodes {
      ...NodeRow
      models {
        id
        __typename
      }
      __typename
    }
    models {
      ...ModelRow
      __typename
    }
    tasks {
      ...TaskRow
      __typename
    }
    __typename
  }
  downloads(status: $statuses) {
    ...DownloadRow
    __typename
  }
}

fragment ClusterSummary on Cluster {
  nodeCount
  ramTotalGb
  ramAvailableGb
  ramUsedGb
  ramUsedPercent
  loadedModelCount
  activeTaskCount
  activeDownloadCount
  apiNodeId
  observedAt
  __typename
}

fragment NodeName on Node {
  id
  friendlyName
  __typename
}

fragment NodeRow on Node {
  ...NodeName
  chip
  osVersion
  ramTotalGb
  ramAvailableGb
  ramUsedGb
  ramUsedPercent
  diskTotalGb
  diskAvailableGb
  gpuUsagePercent
  cpuPUsagePercent
  cpuEUsagePercent
  temperatureC
  powerWatts
  ipAddresses
  connectionTypes
  hasThunderbolt
  rdmaEnabled
  status
  secondsSinceSeen
  __typename
}

fragment ModelRow on Model {
  id
  name
  storageSizeGb
  instances {
    id
    sharding
    instanceType
    ready
    phase
    shards {
      node {
        ...NodeName
        __typename
      }
      runnerStatus
      __typename
    }
    __typename
  }
  __typename
}

fragment TaskRow on Task {
  id
  kind
  status
  model {
    id
    __typename
  }
  instance {
    id
    __typename
  }
  __typename
}

fragment DownloadRow on Download {
  node {
    ...NodeName
    __typename
  }
  model {
    id
    __typename
  }
  status
  downloadedGb
  totalGb
  progress@@: progressPercent
  speedMbS
  etaSeconds
  error
  __typename
}""",
    {"statuses": _ALL},
)
# The same fields with conditions and inline fragments, each document with a key of its own.
_CONDITIONS = Query(
    """query Overview($withNodes: Boolean! = true, $withModels: Boolean!, $brief: Boolean = false,
               $statuses: [DownloadStatus!]) {
  cluster {
    count@@: nodeCount ramTotalGb ramAvailableGb ramUsedGb ramUsedPercent
    loadedModelCount activeTaskCount activeDownloadCount apiNodeId observedAt
    nodes @include(if: $withNodes) {
      id friendlyName
      ... @skip(if: $brief) {
        chip osVersion ramTotalGb ramAvailableGb ramUsedGb ramUsedPercent diskTotalGb diskAvailableGb
        gpuUsagePercent cpuPUsagePercent cpuEUsagePercent temperatureC powerWatts ipAddresses connectionTypes
        hasThunderbolt rdmaEnabled models { id } status secondsSinceSeen
      }
    }
    ... on Cluster @include(if: $withModels) {
      models {
        id name storageSizeGb
        instances { id sharding instanceType ready phase shards { node { id friendlyName } runnerStatus } }
      }
      tasks { id kind status model { id } instance { id } }
    }
  }
  # All of them: the page filters by itself.
  downloads(status: $statuses) {
    node { id friendlyName } model { id } status@@: status downloadedGb totalGb progressPercent speedMbS etaSeconds
    error @skip(if: $brief)
  }
}""",
    {"withModels": True, "statuses": _ALL},
)
OVERVIEWS = (_APOLLO, _CONDITIONS)
"""Two documents for all that `/v1/cluster` returns."""

KINDS = {
    "overview, plain": PLAIN,
    "overview, Apollo": _APOLLO,
    "overview, conditions": _CONDITIONS,
    "variables in arguments": Query(
        """query NodePage@@($node: ID!, $statuses: [DownloadStatus!], $last: Int = 5) {
  node(id: $node) { id friendlyName chip status ramTotalGb ramAvailableGb models { id ready } }
  downloads(node: $node, status: $statuses) { id status progressPercent model { id name } }
  events(node: $node, last: $last) { id at kind message severity }
}""",
        {"node": NODE_ID, "statuses": ("DOWNLOADING", "PAUSED", "FAILED")},
    ),
    "values in the text": Query(
        f"""query Status {{
  modelStatus(model: "{SECOND_MODEL}") {{ phase ready progressPercent message nodes {{ friendlyName }} }}
  missing: modelStatus(model: "no-such-model-@@") {{ found phase message }}
  events(last: 5, severity: [WARNING, ERROR]) {{ id at message }}
}}"""
    ),
    "fragment spreads": Query(
        """query Models@@ {
  models(loaded: true) { ...ModelCard }
  cluster { nodes { ...NodeCard models { ...ModelCard } } }
}
fragment ModelCard on Model { id name ready status { ...Status } nodes { ...NodeCard } }
fragment NodeCard on Node { id friendlyName status ramAvailableGb }
fragment Status on ModelStatus { phase message progressPercent final }
"""
    ),
    "inline fragments": Query(
        """query Operations($ended: Int) {
  cluster {
    id@@: stateVersion
    operations(ended: $ended) {
      __typename id kind state message progressPercent steps { __typename state }
      error {
        __typename code message suggestion
        ... on InsufficientMemory { neededGb availableGb }
        ... on ModelNotFound { model: message }
      }
    }
  }
}""",
        {"ended": 3},
    ),
    "a node an alias": Query(
        "query Several@@ { "
        + " ".join(
            f'm{number}: modelStatus(model: "{SECOND_MODEL}") {{ ...Status }} n{number}: model(id: "{SECOND_MODEL}") '
            "{ id name ready instances { id phase } }"
            for number in range(4)
        )
        + " } fragment Status on ModelStatus { modelId phase ready message }"
    ),
    "nested fragments": Query(
        """query AppQuery@@($node: ID!) {
  cluster { ...Header_cluster ...NodeList_cluster __typename }
  node(id: $node) { ...NodeDetail_node __typename id }
}
fragment Badge_node on Node { status secondsSinceSeen __typename }
fragment Bar_node on Node { ramUsedPercent ramTotalGb __typename }
fragment Header_cluster on Cluster { healthy nodeCount onlineNodeCount unhealthyReasons __typename }
fragment ModelLink_model on Model { id name __typename }
fragment NodeDetail_node on Node {
  ...Badge_node ...Bar_node chip osVersion models { ...ModelLink_model ...ModelState_model __typename id } __typename
}
fragment ModelState_model on Model { ready status { phase __typename } __typename }
fragment NodeList_cluster on Cluster { nodes { ...NodeRow_node __typename id } __typename }
fragment NodeRow_node on Node { friendlyName ...Badge_node ...Bar_node __typename }
""",
        {"node": NODE_ID},
    ),
    "several operations": Query(
        """# What the team's tools ask.
query Health { cluster { ...Summary } }
query Nodes@@ { cluster { ...Summary nodes { id friendlyName status } } }
fragment Summary on Cluster { healthy nodeCount ramTotalGb ramAvailableGb observedAt }
""",
        operation_name="Health",
    ),
    "small": Query(
        "query Small@@($model: String!) { modelStatus(model: $model) { phase ready } }", {"model": SECOND_MODEL}
    ),
}
