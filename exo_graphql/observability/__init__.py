"""What operators see of a running server: metrics and logs.

`metrics` counts what happens, `collectors` reads the rest when Prometheus asks for it, `logs` formats the log.
"""
