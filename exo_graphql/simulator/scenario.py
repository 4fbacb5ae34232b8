"""Scenarios: machines, models, and what already runs when the simulation begins."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exo_graphql.simulator.cards import Card
from exo_graphql.simulator.catalogue import all_cards, card_named

GIB = 1024**3

READY_MODEL = "mlx-community/Qwen3-235B-A22B-Instruct-2507-8bit"
"""Ready on both Studios of the default scenario, and serving."""
DAY_MODEL = "mlx-community/DeepSeek-V3.2-8bit"
"""With `NIGHT_MODEL`: weights on every node of the default scenario; memory for one of the two at a time."""
NIGHT_MODEL = "mlx-community/Kimi-K2.5"
TOO_LARGE_MODEL = "mlx-community/GLM-5"
"""1488 GB: more than the whole default cluster has."""
DOWNLOADING_MODEL = "mlx-community/Qwen3.5-397B-A17B-8bit"
"""Being downloaded to the first Studio of the default scenario, for no instance."""
SMALL_MODELS = (
    "mlx-community/Llama-3.2-1B-Instruct-4bit",
    "mlx-community/Llama-3.2-3B-Instruct-4bit",
    "mlx-community/Qwen3-0.6B-4bit",
    "mlx-community/Qwen3-30B-A3B-4bit",
    "mlx-community/gpt-oss-20b-MXFP4-Q8",
)
"""Weights on every node of every scenario; seconds to load."""


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface as exo's `nodeNetwork` lists it."""

    name: str
    address: str
    kind: str


@dataclass(frozen=True, slots=True)
class Machine:
    """One computer; memory and disk in bytes, rates in bytes a second."""

    name: str
    model: str
    chip: str
    os_version: str
    os_build: str
    ram: int
    os_used: int
    disk: int
    backends: tuple[str, ...]
    interfaces: tuple[Interface, ...]
    mac: bool = True
    rdma: bool = False
    thunderbolt: tuple[str, ...] = ()
    """Names of its Thunderbolt interfaces (Macs), in the order of its cables to `Scenario.cables`."""
    load_rate: float = 6e9
    download_rate: float = 300e6
    idle_watts: float = 12.0
    busy_watts: float = 210.0

    @property
    def models_directory(self) -> str:
        """Where exo keeps weights on it."""
        return "/Users/exo/.exo/models" if self.mac else "/home/exo/.local/share/exo/models"


@dataclass(frozen=True, slots=True)
class Cable:
    """A Thunderbolt cable between two machines: names and the interface at each end."""

    a: str
    a_port: str
    b: str
    b_port: str


@dataclass(frozen=True, slots=True)
class Traffic:
    """Chats that other people send to a model: every `every` simulated seconds one of about `seconds`."""

    model_id: str
    every: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the simulation begins with. Models by exact id, machines by name."""

    machines: tuple[Machine, ...]
    cards: tuple[Card, ...]
    api: str
    """The machine whose HTTP API is simulated."""
    master: str
    weights: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Model to the machines that hold all of its weights."""
    ready: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Model to the machines on which it is ready, as a pipeline with equal layers."""
    downloads: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Model to the machine that downloads it, and the share (0..1) it already has."""
    cables: tuple[Cable, ...] = ()
    traffic: tuple[Traffic, ...] = ()
    old_instances: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Model to the machines of an instance deleted long ago, whose runners and tasks exo still lists."""
    steady: bool = False
    """Keep memory and telemetry constant (for figures computed by hand)."""


_MAC_BACKENDS = ("MlxCpu", "MlxMetal")


def _mac_interfaces(host: int) -> tuple[Interface, ...]:
    return (
        Interface("lo0", "127.0.0.1", "unknown"),
        Interface("lo0", "::1", "unknown"),
        Interface("en0", f"192.168.1.{host}", "ethernet"),
        Interface("en0", f"fe80::1c3a:5bff:fe20:{host:x}%en0", "ethernet"),
        Interface("en1", f"192.168.1.{host + 100}", "wifi"),
    )


def studio(name: str, host: int, *, os_used: int = 22 * GIB, rdma: bool = True) -> Machine:
    """A 512 GB Mac Studio (M3 Ultra) at 192.168.1.`host`."""
    return Machine(
        name=name,
        model="Mac Studio",
        chip="Apple M3 Ultra",
        os_version="26.2",
        os_build="25C56",
        ram=512 * GIB,
        os_used=os_used,
        disk=7_995_376_234_496,
        backends=_MAC_BACKENDS,
        interfaces=(*_mac_interfaces(host), Interface("en3", f"169.254.40.{host}", "maybe_ethernet")),
        rdma=rdma,
        thunderbolt=("en3", "en4", "en5"),
    )


def _mini() -> Machine:
    return Machine(
        name="Mac mini",
        model="Mac mini",
        chip="Apple M4 Pro",
        os_version="26.1",
        os_build="25B78",
        ram=64 * GIB,
        os_used=9 * GIB,
        disk=1_995_218_165_760,
        backends=_MAC_BACKENDS,
        interfaces=_mac_interfaces(23),
        thunderbolt=("en2", "en3", "en4"),
        load_rate=4e9,
        idle_watts=5.0,
        busy_watts=65.0,
    )


def _spark() -> Machine:
    # exo knows next to nothing about a machine that is no Mac: no chip, no nodeSystem, no Thunderbolt
    # (exo `utils/info_gatherer`), interfaces of type "unknown", the host name as its name.
    return Machine(
        name="spark-7f21",
        model="Unknown Model",
        chip="Unknown Chip",
        os_version="Linux",
        os_build="Unknown",
        ram=128_475_463_680,
        os_used=7 * GIB,
        disk=3_936_818_806_784,
        backends=("MlxCpu", "MlxCuda", "Vllm"),
        interfaces=(
            Interface("lo", "127.0.0.1", "unknown"),
            Interface("lo", "::1", "unknown"),
            Interface("enP7s7", "192.168.1.24", "unknown"),
        ),
        mac=False,
        load_rate=3e9,
    )


def default_scenario() -> Scenario:
    """Four different nodes in the middle of a working day."""
    machines = (studio("Mac Studio 1", 21), studio("Mac Studio 2", 22), _mini(), _spark())
    everywhere = tuple(machine.name for machine in machines)
    studios = everywhere[:2]
    return Scenario(
        machines=machines,
        cards=all_cards(),
        api="Mac Studio 1",
        master="Mac mini",
        weights={
            READY_MODEL: studios,
            DAY_MODEL: everywhere,
            NIGHT_MODEL: everywhere,
            "mlx-community/GLM-4.7-Flash-8bit": studios,
            **dict.fromkeys(SMALL_MODELS, everywhere),
        },
        ready={READY_MODEL: studios},
        downloads={DOWNLOADING_MODEL: ("Mac Studio 1", 0.31)},
        cables=(Cable("Mac Studio 1", "en3", "Mac Studio 2", "en3"),),
        traffic=(Traffic(READY_MODEL, every=7.0, seconds=9.0),),
        old_instances={"mlx-community/GLM-4.7-Flash-8bit": studios, SMALL_MODELS[1]: studios[:1]},
    )


def two_studios() -> Scenario:
    """Two 512 GB nodes, 690 GB of 1024 available in all (32.6 % used), one model ready on both, all constant."""
    held = card_named(READY_MODEL).resident_bytes // 2
    machines = tuple(
        studio(name, host, os_used=(512 - 345) * GIB - held)
        for name, host in (("Mac Studio 1", 21), ("Mac Studio 2", 22))
    )
    both = tuple(machine.name for machine in machines)
    return Scenario(
        machines=machines,
        cards=all_cards(),
        api=both[0],
        master=both[1],
        weights={READY_MODEL: both, **dict.fromkeys(SMALL_MODELS, both)},
        ready={READY_MODEL: both},
        cables=(Cable(both[0], "en3", both[1], "en3"),),
        steady=True,
    )


def _tiny(name: str, size: int, layers: int, base_model: str) -> Card:
    return Card(
        model_id=f"test/{name}",
        storage_bytes=size,
        layers=layers,
        hidden_size=64,
        kv_heads=4,
        supports_tensor=True,
        family="llama",
        quantization="4bit",
        base_model=base_model,
        capabilities=("text",),
        reasoning_dialect="none",
        context_length=4096,
    )


TINY_CARDS = (
    _tiny("tiny-a", 40_000_000, 8, "Tiny A"),
    _tiny("tiny-b", 60_000_000, 12, "Tiny B"),
    _tiny("tiny-c", 20_000_000, 4, "Tiny C"),
    _tiny("absent", 1_500_000_000, 8, "Absent"),
    _tiny("half", 9 * GIB, 8, "Half"),
    _tiny("other-half", 10 * GIB, 8, "Other half"),
    _tiny("huge", 2_000 * GIB, 80, "Huge"),
)
"""`tiny-*`: weights everywhere, loaded in a few simulated seconds. `absent`: weights nowhere, 5 s to download.
`half`, `other-half`: weights everywhere; the cluster has memory for one of them. `huge`: fits nowhere."""


def tiny_scenario(nodes: int = 2) -> Scenario:
    """`nodes` nodes of 8 GiB (6 available), cards that load in seconds, nothing loaded, no traffic, all constant.

    With two nodes `test/half` and `test/other-half` need both, and exclude each other.
    """
    machines = tuple(
        Machine(
            name=f"node-{number}",
            model="Mac mini",
            chip="Apple M4",
            os_version="26.2",
            os_build="25C56",
            ram=8 * GIB,
            os_used=2 * GIB,
            disk=512 * GIB,
            backends=_MAC_BACKENDS,
            interfaces=_mac_interfaces(30 + number),
            load_rate=20e9,
        )
        for number in range(1, nodes + 1)
    )
    names = tuple(machine.name for machine in machines)
    present = ("test/tiny-a", "test/tiny-b", "test/tiny-c", "test/half", "test/other-half")
    return Scenario(
        machines=machines,
        cards=TINY_CARDS,
        api=names[0],
        master=names[-1],
        weights=dict.fromkeys(present, names),
        steady=True,
    )
