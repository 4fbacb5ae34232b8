"""A model, as exo's catalogue and the documents of instances describe it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exo_graphql.cluster.units import gib


@dataclass(frozen=True, slots=True, weakref_slot=True)
class ModelCard:
    """A model as exo's catalogue describes it. `document` is exo's own card, sent back to exo unchanged."""

    id: str
    family: str | None = None
    quantization: str | None = None
    base_model: str | None = None
    storage_bytes: int | None = None
    layer_count: int | None = None
    context_length: int | None = None
    capabilities: tuple[str, ...] = ()
    supports_tensor: bool | None = None
    is_custom: bool | None = None
    document: Mapping[str, object] | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The id after its last slash."""
        return self.id.rsplit("/", 1)[-1]

    @property
    def storage_size_gb(self) -> float | None:
        """Size of the weights in GiB."""
        return gib(self.storage_bytes)
