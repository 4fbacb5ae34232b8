"""Several servers that share a store. One leads: it acts on the cluster, and the others pass mutations on to it.

Read `storage/leadership.py` first (who leads), then `membership.py` (which servers there are).
"""
