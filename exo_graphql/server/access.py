"""Who may do what."""

from enum import Enum, unique


@unique
class Rights(Enum):
    """What a caller may do. Whoever may operate may read."""

    READ = "READ"
    OPERATE = "OPERATE"
