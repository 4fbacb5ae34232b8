"""Memory in the units of the public schema, for one node and for all nodes together."""

from abc import abstractmethod

from exo_graphql.cluster.units import gib, percent


class RamFigures:
    """Derives GiB and percent from the bytes that a subclass has: a node reports its own, a cluster adds them up."""

    __slots__ = ()

    @property
    @abstractmethod
    def ram_total_bytes(self) -> int | None:
        """None where it is not known, as in the other two."""

    @property
    @abstractmethod
    def ram_available_bytes(self) -> int | None:
        """Free memory."""

    @property
    @abstractmethod
    def ram_used_bytes(self) -> int | None:
        """Total minus free."""

    @property
    def ram_total_gb(self) -> float | None:
        """GiB."""
        return gib(self.ram_total_bytes)

    @property
    def ram_available_gb(self) -> float | None:
        """GiB."""
        return gib(self.ram_available_bytes)

    @property
    def ram_used_gb(self) -> float | None:
        """GiB."""
        return gib(self.ram_used_bytes)

    @property
    def ram_used_percent(self) -> float | None:
        """0-100."""
        return percent(self.ram_used_bytes, self.ram_total_bytes)
