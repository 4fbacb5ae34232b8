"""What operators see of a running server: metrics and logs.

Read `metrics` (what is counted as it happens), `collectors` and `model_collectors` (what is read from the snapshot and
the server at each scrape), `logs` (the format of the log), `recorder` (which makes events of snapshots, operations and
deployments). `monitoring/` holds alert rules for Prometheus and a dashboard for Grafana.
"""
