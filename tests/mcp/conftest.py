"""The SDK's own client against a server."""

import json
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPDeprecationWarning

from exo_graphql.simulator import SimulatedExo, parse_fault, tiny_scenario
from tests.support.running import Running, running

ERAS = ("auto", "legacy")
"""With the newest revision of the protocol, and with the last one that begins with a handshake."""
TOKENS = "operate:a-secret-to-operate,read:a-secret-to-read"


@pytest.fixture(autouse=True)
def _old_revisions() -> None:
    # The older revision is deprecated by the newer one, and the tests speak both.
    warnings.simplefilter("ignore", MCPDeprecationWarning)


@asynccontextmanager
async def server(*faults: str, **given: Any) -> AsyncIterator[Running]:
    """A server over a quick simulated exo."""
    exo = SimulatedExo(tiny_scenario(), seed=1, speed=20, faults=[parse_fault(fault) for fault in faults])
    async with running(exo, **given) as made:
        yield made


@asynccontextmanager
async def agent(made: Running, era: str = "auto", token: str | None = None, **given: Any) -> AsyncIterator["Agent"]:
    """A client of its `/mcp`."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http:
        transport = streamable_http_client(f"http://127.0.0.1:{made.port}/mcp", http_client=http)
        async with Client(transport, mode=era, **given) as client:
            yield Agent(client)


class Agent:
    """Calls tools, and counts what a language model would have read and written."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.calls = 0
        self.characters = 0
        self.progress: list[float] = []

    @property
    def tokens(self) -> float:
        """Of all calls and results."""
        return self.characters / 4

    async def call(self, tool: str, **arguments: object) -> dict[str, Any]:
        """The result of a tool, which must not be an error. The SDK checks it against the output schema."""
        result = await self._call(tool, arguments)
        assert not result.is_error, result.content[0].text
        structured: dict[str, Any] = result.structured_content
        return structured

    async def refused(self, tool: str, **arguments: object) -> dict[str, Any]:
        """The error of a tool."""
        result = await self._call(tool, arguments)
        assert result.is_error, result.structured_content
        report: dict[str, Any] = json.loads(result.content[0].text)
        return report

    async def _call(self, tool: str, arguments: dict[str, Any]) -> Any:
        async def report(progress: float, total: float | None, message: str | None) -> None:
            self.progress.append(progress)

        result = await self.client.call_tool(tool, arguments, progress_callback=report)
        self.calls += 1
        texts = [getattr(content, "text", "") for content in result.content]
        self.characters += len(tool) + len(json.dumps(arguments)) + sum(map(len, texts))
        return result
