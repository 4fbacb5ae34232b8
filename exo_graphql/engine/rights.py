"""What a caller may do: read, or operate as well."""

from enum import Enum, unique


@unique
class Rights(Enum):
    """What a caller may do. A caller who may operate may read."""

    READ = "READ"
    OPERATE = "OPERATE"
