"""Documents that are expensive to read or to answer: which limit refuses them, and what the others cost."""

from itertools import chain

from graphql import get_introspection_query

_EVERY_STATUS = "[NOT_STARTED, PENDING, DOWNLOADING, PAUSED, COMPLETED, FAILED, UNKNOWN]"
_DOWNLOAD = (
    "id status downloadedGb totalGb downloadedBytes totalBytes progressPercent speedMbS etaSeconds completedFiles "
    "totalFiles error node { id friendlyName } model { id name }"
)
_NODE = (
    "id friendlyName chip hardware osVersion ramTotalGb ramAvailableGb ramUsedGb ramUsedPercent diskTotalGb "
    "diskAvailableGb gpuUsagePercent cpuPUsagePercent cpuEUsagePercent temperatureC powerWatts ipAddresses "
    "connectionTypes hasThunderbolt rdmaEnabled backends status lastSeen secondsSinceSeen"
)
OVERVIEW = (
    "cluster { healthy unhealthyReasons nodeCount onlineNodeCount nodesWithoutMemory ramTotalGb ramAvailableGb "
    f"ramUsedGb ramUsedPercent loadedModelCount activeTaskCount activeDownloadCount "
    f"nodes {{ {_NODE} models {{ id }} }} "
    "models { id name status { phase ready progressPercent message } instances { id sharding instanceType phase "
    "shards { node { id } runnerStatus startLayer endLayer } } } tasks { id kind status active model { id } } "
    "operations { id } } "
    f"downloads(status: {_EVERY_STATUS}) {{ {_DOWNLOAD} }}"
)


def _cycle(levels: int) -> str:
    return "{ " + "nodes { models { " * levels + "id" + " } }" * levels + " }"


def _many(count: int, one: str) -> str:
    return "{ " + " ".join(one.format(number) for number in range(count)) + " }"


def _fragments(count: int, one: str, end: str) -> str:
    return "{ ...f0 }" + "".join(chain((one.format(n, n + 1) for n in range(count)), [end.format(count)]))


ATTACKS = {
    "overview, every download": f"{{ {OVERVIEW} }}",
    "overview, with an error in it": f'{{ wrong: model(id: "nothing-like-it") {{ id }} {OVERVIEW} }}',
    "four overviews": "{ "
    + " ".join(f"a{n}: downloads(status: {_EVERY_STATUS}) {{ {_DOWNLOAD} }}" for n in range(4))
    + " }",
    "four overviews, with an error": '{ wrong: model(id: "nothing-like-it") { id } '
    + " ".join(f"a{n}: downloads(status: {_EVERY_STATUS}) {{ {_DOWNLOAD} }}" for n in range(4))
    + " }",
    "cycle, 2 levels": _cycle(2),
    "cycle, 3 levels": _cycle(3),
    "cycle, 4 levels": _cycle(4),
    "cycle, 8 levels": _cycle(8),
    "50 aliases of nodes": _many(50, f"a{{}}: nodes {{{{ {_NODE} }}}}"),
    "400 aliases of a status": _many(400, 'a{0}: modelStatus(model: "nothing-{0}") {{ ready }}'),
    "80 aliases of a status": _many(80, 'a{0}: modelStatus(model: "nothing-{0}") {{ ready }}'),
    "1,000 aliases": _many(1000, "a{}: nodes {{ id }}"),
    "5,000 aliases": _many(5000, "a{}: __typename"),
    "60 times one field": "{ " + "nodes { id } " * 60 + "}",
    "1,000 times one field": "{ " + "nodes { id } " * 1000 + "}",
    "3,000 times one leaf": "{ nodes { " + "id " * 3000 + "} }",
    "90 directives": "{ nodes " + "@include(if: true) " * 90 + "{ id } }",
    "2,000 directives": "{ nodes " + "@skip(if: false) " * 2000 + "{ id } }",
    "fragments that double": _fragments(
        20,
        "fragment f{0} on Node {{ a: models {{ nodes {{ ...f{1} }} }} b: models {{ nodes {{ ...f{1} }} }} }}",
        "fragment f{0} on Node {{ id }}",
    ).replace("{ ...f0 }", "{ nodes { ...f0 } }", 1),
    "fragments that double, 1,000 fields": _fragments(
        9,
        "fragment f{0} on Node {{ a: models {{ nodes {{ ...f{1} }} }} b: models {{ nodes {{ ...f{1} }} }} }}",
        "fragment f{0} on Node {{ id }}",
    ).replace("{ ...f0 }", "{ nodes { ...f0 } }", 1),
    "560 inline fragments in 4,000 characters": "{ nodes { " + "...{id}" * 560 + "} }",
    "260 conditions in 4,000 characters": "query ($a: Boolean!) { nodes { " + "id@skip(if:$a) " * 260 + "} }",
    "90 fragments side by side": "{ "
    + " ".join(f"...f{n}" for n in range(90))
    + " } "
    + " ".join(f"fragment f{n} on Query {{ a{n}: nodes {{ id }} }}" for n in range(90)),
    "fragments in a circle": "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a nodes { id } }",
    "introspection, usual": get_introspection_query(),
    "introspection in a circle": "{ __schema { types " + "{ fields { type " * 2 + "{ name" + " } }" * 2 + " } } }",
    "introspection in a deeper circle": "{ __schema { types "
    + "{ fields { type " * 3
    + "{ name"
    + " } }" * 3
    + " } } }",
    "60 introspections": _many(60, "a{}: __schema {{ types {{ name fields {{ name type {{ name }} }} }} }}"),
    "100 unknown fields": "{ nodes { " + " ".join(f"ramTotalGc{n}" for n in range(100)) + " } }",
    "a name of 90,000 letters": "{ " + "n" * 90_000 + " }",
    "a text of 90,000 letters": '{ node(id: "' + "n" * 90_000 + '") { id } }',
    "an alias of 90,000 letters": "{ nodes { " + "n" * 90_000 + ": id } }",
    "a number of 90,000 digits": '{ placements(model: "x", minNodes: ' + "9" * 90_000 + ") { fits } }",
    "45,000 comments": "{ nodes { id } " + "#\n" * 45_000 + "}",
    "a list in 150 lists": "{ downloads(status: " + "[" * 150 + "]" * 150 + ") { id } }",
    "a list in 50,000 lists": "{ downloads(status: " + "[" * 49_000 + "]" * 49_000 + ") { id } }",
    "20 placements": _many(20, 'a{}: placements(model: "Llama-3.2-1B-Instruct-4bit") {{ fits }}'),
}
