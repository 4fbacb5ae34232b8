"""What operators read: metrics, health checks and the log."""

import io
import logging

import httpx
import orjson
import pytest

from exo_graphql.observability.logs import JsonFormatter
from tests.support.running import PHASE, A, running

pytestmark = pytest.mark.anyio


def _value(text: str, series: str) -> float | None:
    for line in text.splitlines():
        if line.startswith(series + " "):
            return float(line.rsplit(" ", 1)[1])
    return None


async def _get(port: int, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(f"http://127.0.0.1:{port}{path}", headers=headers)


async def test_metrics_show_the_cluster_and_count_requests() -> None:
    async with running() as server, httpx.AsyncClient() as client:
        for _ in range(3):
            await client.post(server.url, json={"query": "{ cluster { nodeCount } }"})
        await client.post(server.url, json={"query": "{ nonsense }"})
        async with server.socket() as socket:
            await socket.send(id="1", type="subscribe", payload={"query": PHASE})
            await socket.receive()
            text = (await _get(server.port, "/metrics")).text
        snapshot = server.components.poller.snapshot
        assert snapshot is not None
        node = snapshot.nodes[0]
        assert _value(text, "exo_up") == 1
        series = f'exo_node_memory_total_bytes{{node="{node.friendly_name}",node_id="{node.id}"}}'
        assert _value(text, series) == node.ram_total_bytes
        assert _value(text, 'exo_models{phase="READY"}') == len(snapshot.loaded_models)
        assert _value(text, 'exo_graphql_requests_total{outcome="answered",transport="http"}') == 3
        assert _value(text, 'exo_graphql_requests_total{outcome="refused",transport="http"}') == 1
        assert _value(text, 'exo_graphql_requests_total{outcome="answered",transport="websocket"}') == 1
        assert _value(text, "exo_graphql_request_seconds_count") == 3
        assert _value(text, "exo_graphql_subscriptions") == 1
        assert _value(text, "exo_graphql_websockets") == 1
        assert (_value(text, "exo_graphql_leader"), _value(text, "exo_graphql_replicas")) == (1, 1)
        assert (_value(text, "exo_graphql_upstream_reads_total") or 0) >= 1
        age = _value(text, "exo_snapshot_age_seconds")
        assert age is not None
        assert 0 <= age < 10


async def test_what_a_node_does_not_report_is_absent_not_zero() -> None:
    async with running() as server:
        await _get(server.port, "/readyz")
        snapshot = server.components.poller.snapshot
        assert snapshot is not None
        text = (await _get(server.port, "/metrics")).text
        for node in snapshot.nodes:
            series = f'exo_node_temperature_celsius{{node="{node.friendly_name}",node_id="{node.id}"}}'
            assert _value(text, series) == node.temperature_c


async def test_operations_are_counted_by_state() -> None:
    async with running() as server, httpx.AsyncClient() as client:
        mutation = f'mutation {{ loadModel(model: "{A}") {{ operation {{ id }} }} }}'
        await client.post(server.url, json={"query": mutation})
        text = (await _get(server.port, "/metrics")).text
        states = [operation.state.value for operation in server.components.operations.all()]
        assert len(states) == 1
        assert sum(_value(text, f'exo_graphql_operations{{state="{state}"}}') or 0 for state in set(states)) == 1


async def test_metrics_require_a_token_where_one_is_configured_and_health_does_not() -> None:
    async with running(tokens="read:readreadread") as server:
        refused = await _get(server.port, "/metrics")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert (await _get(server.port, "/metrics", authorization="Bearer readreadread")).status_code == 200
        assert (await _get(server.port, "/healthz")).json() == {"status": "ok"}
        assert (await _get(server.port, "/readyz")).json() == {"status": "ready", "role": "leader"}


def test_the_log_for_machines_is_one_object_a_line() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("tests.observability.test_metrics")
    logger.propagate = False
    logger.addHandler(handler)
    logger.warning("node %s", "left", extra={"node": "mac-1"})
    line = orjson.loads(stream.getvalue())
    assert {name: line[name] for name in ("level", "logger", "message", "node")} == {
        "level": "warning",
        "logger": "tests.observability.test_metrics",
        "message": "node left",
        "node": "mac-1",
    }
