"""GraphQL over HTTP, audited by npm's `graphql-http` against the running server."""

import asyncio
import json

import pytest

from tests.support.node_tools import NodeTools
from tests.support.running import PATIENCE, running

pytestmark = [pytest.mark.anyio, pytest.mark.npm]

AUDIT = """
import { auditServer } from 'graphql-http';
const results = await auditServer({ url: process.argv[1] });
const reported = [];
for (const { id, name, status, reason } of results) reported.push({ id, name, status, reason });
console.log(JSON.stringify(reported));
"""


async def test_all_61_audits_of_graphql_over_http_pass(node_tools: NodeTools) -> None:
    async with running() as server:
        process = await asyncio.create_subprocess_exec(
            str(node_tools.node),
            *("--input-type=module", "-e", AUDIT, server.url),
            cwd=node_tools.folder,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    results = json.loads(out)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == 61
