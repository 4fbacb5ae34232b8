"""TLS to exo and to the server, by a private authority: trusted where it is named, reported where it is not."""

import asyncio
import logging
import os
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from exo_graphql.app import build
from exo_graphql.serve import Server, server_config
from exo_graphql.settings import SettingsError
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.support.running import PATIENCE, A, Running, running, settings, until

pytestmark = pytest.mark.anyio

COUNT = {"query": "{ cluster { nodeCount } }"}
NOT_TRUSTED = "Its certificate is not trusted: "


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority that is not trusted by default: its certificate, and a server's by it, as files."""

    ca_file: Path
    server: Path
    another: Path
    """Of a server with another name."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder, ca = tmp_path_factory.mktemp("authority"), trustme.CA()
    made = Authority(folder / "ca.pem", folder / "server.pem", folder / "another.pem")
    ca.cert_pem.write_to_path(str(made.ca_file))
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(made.server))
    ca.issue_cert("another.example").private_key_and_cert_chain_pem.write_to_path(str(made.another))
    return made


@asynccontextmanager
async def _served(app: object, certificate: Path | None) -> AsyncIterator[int]:
    """Serves an application over TLS, or over plain HTTP; the port."""
    config = server_config(app, "127.0.0.1", 0)
    config.ssl_certfile = certificate
    config.lifespan = "off"  # it lives already
    server = Server(config, "at {port}", _nothing)
    serving = asyncio.create_task(server._serve())
    try:
        await until(lambda: server.started or serving.done())
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


async def _nothing() -> None:
    return


@asynccontextmanager
async def _over(certificate: Path | None, **given: Any) -> AsyncIterator[Running]:
    """A server over an exo that shows this certificate."""
    exo = SimulatedExo(tiny_scenario(), seed=1)
    async with (
        exo,
        _served(exo.app, certificate) as port,
        running(demo=False, exo_url=(f"https://127.0.0.1:{port}",), **given) as server,
    ):
        yield server


async def _asked(server: Running, query: Mapping[str, str] = COUNT) -> Any:
    async with httpx.AsyncClient(trust_env=False, timeout=120) as client:
        return (await client.post(server.url, json=query)).json()


async def test_exo_is_trusted_by_an_authority_of_a_file(authority: Authority) -> None:
    async with _over(authority.server, ca_file=authority.ca_file) as server:
        assert await _asked(server) == {"data": {"cluster": {"nodeCount": 2}}}


async def test_exo_is_trusted_by_an_authority_of_the_environment(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    async with _over(authority.server) as server:
        assert await _asked(server) == {"data": {"cluster": {"nodeCount": 2}}}


@pytest.mark.parametrize(
    ("certificate", "trusts", "cause"),
    [
        ("server", False, "Its certificate is not trusted: unable to get local issuer certificate."),
        (
            "another",
            True,
            "Its certificate is not trusted: IP address mismatch, certificate is not valid for '127.0.0.1'.",
        ),
        (None, True, "if the server speaks plain HTTP, use an http:// URL."),
    ],
)
async def test_why_exo_is_not_trusted_is_shown_to_callers_and_logged(
    authority: Authority, caplog: pytest.LogCaptureFixture, certificate: str | None, cause: str, *, trusts: bool
) -> None:
    caplog.set_level(logging.WARNING)
    shown = None if certificate is None else getattr(authority, certificate)
    async with _over(shown, **({"ca_file": authority.ca_file} if trusts else {})) as server:
        mutation = {"query": f'mutation {{ loadModel(model: "{A}") {{ error {{ code message }} }} }}'}
        # Each waits for a first snapshot, here not for as long as usual: none will come.
        server.components.poller.rules = replace(server.components.poller.rules, first_wait=0.5)
        asked, loaded = await asyncio.gather(_asked(server), _asked(server, mutation))
        (error,) = asked["errors"]
        assert error["extensions"]["code"] == "CLUSTER_UNAVAILABLE"
        assert cause in error["message"]
        assert "--ca-file" in error["extensions"]["suggestion"]
        refused = loaded["data"]["loadModel"]["error"]
        assert refused["code"] == "CLUSTER_UNAVAILABLE"
        assert cause in refused["message"]
    (output,) = [record.getMessage() for record in caplog.records if "No state of exo" in record.getMessage()]
    assert cause in output


def test_a_file_without_certificates_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(SettingsError, match=r"ca_file: .*empty.pem contains no certificate in PEM format\."):
        build(settings(exo_url=("https://studio",), ca_file=empty, state_dir=tmp_path))
    with pytest.raises(SettingsError, match=r"ca_file: .*nothing.pem cannot be read: No such file or directory\."):
        build(settings(exo_url=("https://studio",), ca_file=tmp_path / "nothing.pem", state_dir=tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", str(empty))
    with pytest.raises(SettingsError, match=r"SSL_CERT_FILE: .*empty.pem contains no certificate in PEM format\."):
        build(settings(exo_url=("https://studio",), state_dir=tmp_path))


async def _command(python: Sequence[str], *arguments: str, **variables: str) -> tuple[int | None, str]:
    """Runs the command line; its exit code, and all that it writes."""
    process = await asyncio.create_subprocess_exec(
        *python,
        *("-c", "from exo_graphql.main import main; main()", *arguments),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "COLUMNS": "500", **variables},
    )
    out, error = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode, (out + error).decode()


async def test_the_command_line_trusts_the_named_authority_and_else_names_the_cause(
    authority: Authority, forking_python: Sequence[str]
) -> None:
    async with running() as server, _served(server.components.asgi, authority.server) as port:
        url = ("--url", f"https://127.0.0.1:{port}")
        assert (await _command(forking_python, *url, "--ca-file", str(authority.ca_file), "nodes"))[0] == 0
        assert (await _command(forking_python, *url, "nodes", EXO_GRAPHQL_CA_FILE=str(authority.ca_file)))[0] == 0
        assert (await _command(forking_python, *url, "nodes", SSL_CERT_FILE=str(authority.ca_file)))[0] == 0
        code, output = await _command(forking_python, *url, "nodes")
        assert code == 69
        assert NOT_TRUSTED + "unable to get local issuer certificate." in output
        assert "--ca-file" in output
        code, output = await _command(
            forking_python, *url, "--ca-file", str(authority.ca_file.with_name("none.pem")), "nodes"
        )
        assert code == 1
        assert "cannot be read" in output
        assert "Traceback" not in output
