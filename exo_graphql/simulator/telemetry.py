"""What the machines report about themselves once a second: memory, load, temperature, power, disk."""

import math

from exo_graphql.simulator.clock import Process
from exo_graphql.simulator.cluster import Node, SimulatedCluster

INTERVAL = 1.0
"""Seconds between two reports of a node (exo's `InfoGatherer`: macmon and psutil every second)."""


def telemetry(cluster: SimulatedCluster) -> Process:
    """Report for every joined live node, forever."""
    while True:
        for node in cluster.nodes.values():
            if node.alive and node.id in cluster.state.nodes:
                report(cluster, node)
        yield max(INTERVAL, cluster.clock.lag - INTERVAL)


def report(cluster: SimulatedCluster, node: Node) -> None:
    """Write one node's present figures into the state."""
    state, machine, now = cluster.state, node.machine, cluster.clock.now
    wobble = 0 if cluster.scenario.steady else round(machine.ram * 0.004 * (1 + math.sin(now / 7 + len(machine.name))))
    state.last_seen[node.id] = cluster.wall
    state.memory[node.id] = {
        "ramTotal": {"inBytes": machine.ram},
        "ramAvailable": {"inBytes": max(0, node.available - wobble)},
        "swapTotal": {"inBytes": 0},
        "swapAvailable": {"inBytes": 0},
    }
    used = sum(node.weights.values()) + 180_000_000_000
    state.disk[node.id] = {
        "total": {"inBytes": machine.disk},
        "available": {"inBytes": max(0, machine.disk - used)},
    }
    cluster.event()  # a Mac's figures come in one event (exo's `MacmonMetrics`)
    if not machine.mac:
        return
    jitter = 0.0 if cluster.scenario.steady else cluster.rng.random()
    if node.serving:
        gpu, cores = 0.86 + 0.12 * jitter, 0.11 + 0.06 * jitter
    elif node.loading:
        gpu, cores = 0.04 + 0.08 * jitter, 0.31 + 0.2 * jitter
    else:
        gpu, cores = 0.01 + 0.02 * jitter, 0.02 + 0.04 * jitter
    node.temperature += (36.0 + 40.0 * gpu - node.temperature) * 0.1
    watts = machine.idle_watts + (machine.busy_watts - machine.idle_watts) * (0.85 * gpu + 0.15 * cores)
    state.system[node.id] = {
        "gpuUsage": round(gpu, 6),
        "temp": round(node.temperature, 4),
        "sysPower": round(watts, 4),
        "pcpuUsage": round(cores, 6),
        "ecpuUsage": round(min(1.0, cores * 1.7), 6),
    }
