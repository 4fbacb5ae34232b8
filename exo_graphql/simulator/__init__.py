"""A simulated exo: the embedded demo, and what the tests run against. It knows exo's HTTP contract alone.

Reading order: `scenario` (machines, models, what runs at the start), `clock` (simulated time), `state` (the document
that `GET /state` answers), `cluster` (nodes and what they share), then what changes the state: `telemetry`,
`downloads`, `instances`, `inference`, `election`; `placement` is exo's own algorithm. `routes` is the HTTP API,
`faults` and `fault_middleware` break it on request, `control` lets tests act on it.
"""

from exo_graphql.simulator.exo import SimulatedExo
from exo_graphql.simulator.faults import Fault, parse_fault
from exo_graphql.simulator.scenario import Scenario, default_scenario, tiny_scenario, two_studios

__all__ = ["Fault", "Scenario", "SimulatedExo", "default_scenario", "parse_fault", "tiny_scenario", "two_studios"]
