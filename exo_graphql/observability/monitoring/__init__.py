"""Files for those who watch the server: alert rules for Prometheus, and a dashboard for Grafana.

`exo-graphql monitoring` prints them. tests/observability holds their names against the server's own metrics.
"""

from pathlib import Path

MONITORING_FILES = {
    "alerts": Path(__file__).parent / "alerts.yaml",
    "dashboard": Path(__file__).parent / "dashboard.json",
}
