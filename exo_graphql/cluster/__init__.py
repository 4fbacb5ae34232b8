"""What exo's state means: the snapshot, readiness, memory arithmetic, names. Pure: no I/O, no clock, no framework."""
