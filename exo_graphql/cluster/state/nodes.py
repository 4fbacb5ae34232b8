"""A member of the cluster: its machine, its connections, its telemetry."""

from dataclasses import dataclass, field
from datetime import datetime

from exo_graphql.cluster.ram import RamFigures
from exo_graphql.cluster.units import gib, share_percent


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection from a node to another: an address that answers, or a pair of RDMA interfaces."""

    sink_id: str
    ip_address: str | None = None
    rdma_interface: str | None = None


@dataclass(frozen=True, slots=True)
class Node(RamFigures):
    """A member of the cluster (`topology.nodes`) and what it has reported so far."""

    id: str
    friendly_name: str | None = None
    hardware: str | None = None
    chip: str | None = None
    os_version: str | None = None
    os_build: str | None = None
    ram_total_bytes: int | None = None
    ram_available_bytes: int | None = None
    disk_total_bytes: int | None = None
    disk_available_bytes: int | None = None
    gpu_share: float | None = None
    cpu_p_share: float | None = None
    cpu_e_share: float | None = None
    temperature_c: float | None = None
    power_watts: float | None = None
    ip_addresses: tuple[str, ...] | None = None
    connection_types: tuple[str, ...] | None = None
    interfaces: tuple[tuple[str, str], ...] | None = None
    """IP address and type of each network interface that has both."""
    has_thunderbolt: bool | None = None
    rdma_enabled: bool | None = None
    backends: tuple[str, ...] | None = None
    connections: tuple[Connection, ...] = ()
    last_seen: datetime | None = field(default=None, compare=False)
    # By exo's clock: the newest `lastSeen` of the same document minus this node's.
    seconds_since_seen: float | None = field(default=None, compare=False)

    @property
    def ram_used_bytes(self) -> int | None:
        """Total minus available, in bytes; None unless both are known."""
        if self.ram_total_bytes is None or self.ram_available_bytes is None:
            return None
        return max(0, self.ram_total_bytes - self.ram_available_bytes)

    @property
    def disk_total_gb(self) -> float | None:
        """GiB."""
        return gib(self.disk_total_bytes)

    @property
    def disk_available_gb(self) -> float | None:
        """GiB."""
        return gib(self.disk_available_bytes)

    @property
    def gpu_usage_percent(self) -> float | None:
        """0-100; exo reports a share from 0 to 1."""
        return share_percent(self.gpu_share)

    @property
    def cpu_p_usage_percent(self) -> float | None:
        """0-100; exo reports a share from 0 to 1."""
        return share_percent(self.cpu_p_share)

    @property
    def cpu_e_usage_percent(self) -> float | None:
        """0-100; exo reports a share from 0 to 1."""
        return share_percent(self.cpu_e_share)
