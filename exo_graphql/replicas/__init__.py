"""Several servers that share a store. One leads: it acts on the cluster, and the others pass mutations on to it.

Read `storage/leadership.py` first (who leads), then `roles.py` (it moves the parts of this server from one role to the
other; each package whose parts act has a class with the methods of `Part`, and knows nothing of this one) and
`candidate.py` (whether this one is to lead), `membership.py` (which servers there are), `mutation.py`, `forward.py` and
`leader_client.py` (how mutations reach the one that leads).
"""

from exo_graphql.replicas.roles import Part, Roles

__all__ = ["Part", "Roles"]
