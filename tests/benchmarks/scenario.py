"""The demo's 4-node cluster in motion, larger clusters made of it, and the queries."""

from typing import Any

import httpx
import orjson

from exo_graphql.simulator import SimulatedExo
from exo_graphql.simulator.scenario import SMALL_MODELS

SECOND_MODEL = SMALL_MODELS[3]

# Every field that `/v1/cluster` returns, download entries of models that no instance needs included.
FIELDS = """
  cluster {
    nodeCount ramTotalGb ramAvailableGb ramUsedGb ramUsedPercent
    loadedModelCount activeTaskCount activeDownloadCount apiNodeId observedAt
    nodes {
      id friendlyName chip osVersion ramTotalGb ramAvailableGb ramUsedGb ramUsedPercent diskTotalGb diskAvailableGb
      gpuUsagePercent cpuPUsagePercent cpuEUsagePercent temperatureC powerWatts ipAddresses connectionTypes
      hasThunderbolt rdmaEnabled models { id } status secondsSinceSeen
    }
    models {
      id name storageSizeGb
      instances { id sharding instanceType ready phase shards { node { id friendlyName } runnerStatus } }
    }
    tasks { id kind status model { id } instance { id } }
  }
  downloads(status: [NOT_STARTED, PENDING, DOWNLOADING, PAUSED, COMPLETED, FAILED, UNKNOWN]) {
    node { id friendlyName } model { id } status downloadedGb totalGb progressPercent speedMbS etaSeconds error
  }
"""
OVERVIEW = f"{{{FIELDS}}}"

LIVE = """subscription { cluster { healthy nodeCount ramTotalGb ramAvailableGb ramUsedPercent activeTaskCount
  nodes { id friendlyName chip osVersion ramTotalGb ramAvailableGb ramUsedGb ramUsedPercent diskTotalGb diskAvailableGb
    gpuUsagePercent temperatureC powerWatts ipAddresses connectionTypes status backends }
  models { id name status { phase ready progressPercent message } nodes { friendlyName } }
  observedAt } }"""


async def bodies(count: int = 16) -> list[bytes]:
    """Bodies of `GET /state`, each with news: 4 nodes, every card of the catalogue on each, 2 models loaded."""
    exo = SimulatedExo(seed=7)
    transport = httpx.ASGITransport(app=exo.app)
    async with exo, httpx.AsyncClient(transport=transport, base_url="http://exo") as client:
        exo.control.place(SECOND_MODEL)
        exo.control.advance(60.0)
        taken = []
        for _ in range(count):
            exo.control.advance(1.0)
            taken.append((await client.get("/state")).content)
        return taken


def multiplied(body: bytes, times: int) -> bytes:
    """The state of a cluster with `times` as many nodes, each as busy as the ones it is made of."""
    document = orjson.loads(body)
    members = document["topology"]["nodes"]
    names = {member: [f"{number:02x}{member[2:]}" for number in range(times)] for member in members}

    def spread(by_node: dict[str, Any]) -> dict[str, Any]:
        return {copy: value for node, value in by_node.items() for copy in names.get(node, [node])}

    maps = [key for key, value in document.items() if isinstance(value, dict) and value.keys() & set(members)]
    document |= {key: spread(document[key]) for key in maps}
    document["topology"] = {
        "nodes": [copy for member in members for copy in names[member]],
        "connections": spread(document["topology"]["connections"]),
    }
    return orjson.dumps(document)
