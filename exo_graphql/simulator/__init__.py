"""A simulated exo: the embedded demo, and what the tests run against. It knows exo's HTTP contract alone.

Read in this order: `cards` (a model and its documents), `catalogue` (all of them), `scenario` (machines, models, what
runs at the start), `clock` (simulated time), `state` (the document that `GET /state` answers), `cluster` (the nodes,
and what the parts share). Then what changes the state: `telemetry`, `downloads`, `instance` and `life` (from placed to
ready, or to the fifth failure), `instances`, `inference`, `election`; `placement` is exo's own algorithm. `simulation`
puts them together. `api`, `reads`, `application`, `routes`, `bodies` and `commands` are the HTTP API, `faults` and
`fault_middleware` break it on request, `control` lets tests act on it, and `exo` is the whole as an application.
"""

from exo_graphql.simulator.exo import SimulatedExo
from exo_graphql.simulator.faults import Fault, parse_fault
from exo_graphql.simulator.scenario import Scenario, default_scenario, tiny_scenario, two_studios

__all__ = ["Fault", "Scenario", "SimulatedExo", "default_scenario", "parse_fault", "tiny_scenario", "two_studios"]
