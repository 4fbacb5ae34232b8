"""A simulated exo: the embedded demo, and what the tests run against. It knows exo's HTTP contract and nothing else."""

from exo_graphql.simulator.exo import SimulatedExo
from exo_graphql.simulator.faults import Fault, parse_fault
from exo_graphql.simulator.scenario import Scenario, default_scenario, tiny_scenario, two_studios

__all__ = ["Fault", "Scenario", "SimulatedExo", "default_scenario", "parse_fault", "tiny_scenario", "two_studios"]
