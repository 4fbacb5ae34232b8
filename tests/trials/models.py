"""The simulated cluster of the trials: two or three small nodes, and models that do or do not fit side by side."""

from dataclasses import replace

from exo_graphql.simulator.cards import Card
from exo_graphql.simulator.scenario import GIB, TINY_CARDS, Scenario, tiny_scenario

SMALL = ("test/small-1", "test/small-2", "test/small-3", "test/small-4")
"""Several of them fit beside any other model."""
MIDDLE = ("test/middle-1", "test/middle-2", "test/middle-3", "test/middle-4")
"""One of them fills a node."""
BIG = ("test/big-1", "test/big-2")
"""Each needs every node, so that they exclude each other and every middle one."""
TIGHT = "test/tight"
"""Its storage fits on an empty node by less than what a loaded model takes beyond its storage."""
BYSTANDER = "test/bystander"
RIVALS = ("test/rival-1", "test/rival-3", "test/rival-5")
"""Models that another client loads to take memory: the number is their size in GiB."""
PROBES = tuple((f"test/probe-{number}", number * GIB // 4) for number in range(1, 25))
"""Requested at the end, to check that no memory is still reserved: id and bytes."""

_LAYERS = 16


def _card(model_id: str, size: int) -> Card:
    name = model_id.removeprefix("test/")
    return replace(
        TINY_CARDS[0], model_id=model_id, storage_bytes=size, layers=_LAYERS, base_model=name.replace("-", " ").title()
    )


def make_scenario(nodes: int) -> Scenario:
    """`nodes` nodes with 6 GiB free each; every model's weights on each."""
    gib = GIB
    sizes = dict.fromkeys((*SMALL, BYSTANDER), 40000000)
    sizes |= dict.fromkeys(MIDDLE, 5 * gib)
    sizes |= {BIG[0]: (9 * gib) * nodes // 2, BIG[1]: (10 * gib) * nodes // 2, TIGHT: round(5.9 * gib)}
    sizes |= {model: int(model[-1]) * gib for model in RIVALS} | dict(PROBES)
    base = tiny_scenario(nodes)
    return replace(
        base,
        cards=tuple(_card(model, size) for model, size in sizes.items()),
        weights=dict.fromkeys(sizes, tuple(machine.name for machine in base.machines)),
    )
