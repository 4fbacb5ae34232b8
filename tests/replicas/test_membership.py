"""Which servers there are, and which of them leads, as clients, probes and Prometheus learn of it."""

import httpx
import pytest

from tests.support.leaderships import Directed, directed, replica
from tests.support.running import running

pytestmark = pytest.mark.anyio

REPLICAS = "{ cluster { replicas { name leader since } } }"
AT = "2026-01-02T03:04:05Z"


async def test_every_server_names_all_and_its_subscribers_learn_of_a_change_at_once() -> None:
    with directed(Directed("b", replica("a", leads=True))) as leadership:
        async with running() as server, server.socket() as socket, httpx.AsyncClient() as client:

            async def answered() -> object:
                answer = await client.post(server.url, json={"query": REPLICAS})
                return answer.json()["data"]["cluster"]["replicas"]

            async def probed() -> tuple[int, object]:
                probe = await client.get(server.url.replace("graphql", "readyz"))
                return probe.status_code, probe.json()

            async def scraped() -> list[str]:
                text = (await client.get(server.url.replace("graphql", "metrics"))).text
                return [
                    line for line in text.splitlines() if line.startswith(("exo_graphql_leader", "exo_graphql_rep"))
                ]

            watch = await socket.subscribe(f"subscription {REPLICAS}")
            before = [{"name": "a", "leader": True, "since": AT}, {"name": "b", "leader": False, "since": AT}]
            assert (await socket.data(watch))["cluster"]["replicas"] == before
            assert [await answered(), await answered()] == [before, before]  # the second one is stored
            assert await probed() == (200, {"status": "ready", "role": "follower"})
            assert await scraped() == ["exo_graphql_leader 0.0", "exo_graphql_replicas 2.0"]

            leadership.set("b")
            after = [{**each, "leader": each["name"] == "b"} for each in before]
            assert (await socket.data(watch))["cluster"]["replicas"] == after
            assert await answered() == after
            assert await probed() == (200, {"status": "ready", "role": "leader"})
            assert await scraped() == ["exo_graphql_leader 1.0", "exo_graphql_replicas 2.0"]


async def test_that_nobody_leads_is_a_hint_and_no_reason_to_be_unhealthy() -> None:
    query = "{ cluster { hints healthy } }"
    with directed(Directed("b", replica("a", leads=True))) as leadership:
        async with running() as server, server.socket() as socket, httpx.AsyncClient() as client:
            watch = await socket.subscribe(f"subscription {query}")
            assert (await socket.data(watch))["cluster"] == {"hints": [], "healthy": True}
            leadership.set(None)
            hint = "No server leads now. Operations are paused, and mutations refused."
            assert (await socket.data(watch))["cluster"] == {"hints": [hint], "healthy": True}
            answer = await client.post(server.url, json={"query": query})
            assert answer.json()["data"]["cluster"]["hints"] == [hint]
            probe = await client.get(server.url.replace("graphql", "readyz"))
            assert (probe.status_code, probe.json()) == (
                200,
                {"status": "ready", "role": "follower", "leader": "none"},
            )
            leadership.set("a")
            assert (await socket.data(watch))["cluster"]["hints"] == []


async def test_a_server_without_a_database_is_the_only_one_and_leads() -> None:
    async with running() as server, httpx.AsyncClient() as client:
        (only,) = (await client.post(server.url, json={"query": REPLICAS})).json()["data"]["cluster"]["replicas"]
        assert only["leader"]


async def test_a_server_without_a_snapshot_is_not_ready_and_says_its_role() -> None:
    async with running(demo=False, exo_url=("http://127.0.0.1:9",)) as server, httpx.AsyncClient() as client:
        probe = await client.get(server.url.replace("graphql", "readyz"))
        assert (probe.status_code, probe.json()) == (503, {"status": "not ready", "role": "leader"})
