"""The type `Replica`."""

from datetime import datetime

import strawberry
from strawberry import Parent

from exo_graphql.schema.fields import field
from exo_graphql.storage import leadership


def _leader(root: Parent[leadership.Replica]) -> bool:
    return root.leads


@strawberry.type(description="A server of this kind, one of those that share a database (--database-url).")
class Replica:
    """`storage.leadership.Replica`."""

    name: str = field(description="Its machine and port, as far as it knows them.")
    leader: bool = field(
        resolver=_leader, description="Whether it acts on the cluster. The others pass mutations on to it."
    )
    since: datetime = field(description="When it took its present role (UTC).")
