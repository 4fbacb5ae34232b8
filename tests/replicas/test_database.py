"""Two servers with one real PostgreSQL: what is passed on, and what becomes of it when the other one leads."""

import asyncio
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from exo_graphql.exo.past_records import CLUSTER
from exo_graphql.serve import run
from exo_graphql.settings import SettingsError
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from exo_graphql.storage import Collection, Entry
from tests.support.process import free_port
from tests.support.replicated import ask
from tests.support.running import A, Running, running, settings, until
from tests.support.stores import Make

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

LOAD = f"""mutation($key: String) {{
  loadModel(model: "{A}", idempotencyKey: $key) {{ operation {{ id by }} error {{ message }} }}
}}"""
REPLICAS = "{ cluster { replicas { name leader } } }"


async def roles(server: Running) -> list[bool]:
    """Which of the servers lead, as this one says."""
    shown = (await ask(server, REPLICAS, "operating-secret")).json()["data"]["cluster"]["replicas"]
    return [each["leader"] for each in shown]


async def test_a_key_leads_to_the_same_operation_at_each_server_and_after_a_take_over(database: str) -> None:
    given: dict[str, Any] = {
        "database_url": database,
        "lease_seconds": 30.0,
        "renew_seconds": 0.3,
        "tokens": "cron=operate:operating-secret",
    }
    ports = free_port(), free_port()
    exos = [SimulatedExo(tiny_scenario(), seed=1) for _ in ports]
    async with running(exos[0], port=ports[0], **given) as first:
        await until(lambda: first.components.roles.leading)
        async with running(exos[1], port=ports[1], **given) as second:
            assert sorted(await roles(second)) == [False, True]
            assert second.components.store.leadership.secret == first.components.store.leadership.secret
            assert not second.components.roles.leading

            loaded = (await ask(second, LOAD, "operating-secret", key="k")).json()["data"]["loadModel"]["operation"]
            assert loaded["by"] == "cron"
            for server in (first, second):
                shown = (await ask(server, "{ operations { id by } }", "operating-secret")).json()["data"]["operations"]
                assert shown == [loaded]
            await first.stop()
            await until(lambda: second.components.roles.leading)
            again = (await ask(second, LOAD, "operating-secret", key="k")).json()["data"]["loadModel"]["operation"]
            assert again == loaded
            assert (await roles(second)).count(True) == 1


async def test_a_server_that_is_read_only_never_leads_and_the_others_change_the_cluster(database: str) -> None:
    given: dict[str, Any] = {"database_url": database, "tokens": "cron=operate:operating-secret"}
    exos = [SimulatedExo(tiny_scenario(), seed=1) for _ in range(2)]
    async with running(exos[0], port=free_port(), read_only=True, **given) as screen:
        assert not screen.components.store.leadership.leads
        shown = (await ask(screen, "{ cluster { hints } }", "operating-secret")).json()["data"]["cluster"]["hints"]
        name = screen.components.store.leadership.own.name
        assert shown == [
            f"No server can lead: {name} is read-only (--read-only). Operations are paused, and mutations refused."
        ]
        async with running(exos[1], port=free_port(), **given) as second:
            await until(lambda: second.components.roles.leading)
            loaded = (await ask(second, LOAD, "operating-secret", key="k")).json()["data"]["loadModel"]["operation"]
            assert loaded["by"] == "cron"
            await until(lambda: screen.components.store.leadership.leader is not None)
            assert not screen.components.store.leadership.leads


async def test_a_server_of_another_cluster_that_starts_while_nobody_leads_never_leads(
    make: Make, database: str
) -> None:
    store = make("of another office")
    await store.open()
    await store.save(Collection.PAST, Entry(1, CLUSTER, active=False, record=b'{"members": {"m": "mini"}, "index": 9}'))
    await store.close()
    async with running(SimulatedExo(tiny_scenario(), seed=1)) as exo:
        given = settings(port=free_port(), exo_url=(f"http://127.0.0.1:{exo.port}/exo",), database_url=database)
        with pytest.raises(SettingsError, match="another --namespace"):
            await run(given)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT name, term FROM exo_graphql_leases").fetchall() == [("of another office", 1)]


async def test_a_database_that_has_become_read_only_is_named_to_callers(database: str) -> None:
    given: dict[str, Any] = {"database_url": database, "lease_seconds": 3.0, "renew_seconds": 0.3, "take_over": 0.0}
    async with running(port=free_port(), **given) as server:
        await until(lambda: server.components.roles.leading)
        with psycopg.connect(database, autocommit=True) as link:
            name = Identifier(link.info.dbname)
            link.execute(SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
            link.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'exo-graphql'"
            )
            meanwhile = asyncio.create_task(ask(server, LOAD))
            await until(lambda: not server.components.roles.leading)
            assert "it is read-only (cannot execute" in (await meanwhile).text
            (error,) = (await ask(server, LOAD)).json()["errors"]
            assert error["extensions"]["code"] == "JOURNAL_UNAVAILABLE"
            assert "it is read-only (cannot execute" in error["message"]
            (hint,) = (await ask(server, "{ cluster { hints } }")).json()["data"]["cluster"]["hints"]
            assert hint.startswith("No server is known to lead. The database cannot be used: it is read-only")
            # It leads again by itself once that is mended.
            link.execute("SET default_transaction_read_only = off")
            link.execute(SQL("ALTER DATABASE {} SET default_transaction_read_only = off").format(name))
            link.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'exo-graphql'"
            )
        await until(lambda: server.components.roles.leading)
        assert (await ask(server, LOAD)).json()["data"]["loadModel"]["operation"]
        assert (await ask(server, "{ cluster { hints } }")).json()["data"]["cluster"]["hints"] == []
