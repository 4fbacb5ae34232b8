"""The Model Context Protocol over GraphQL: tools, resources and prompts for agents.

Each tool is one document of `documents/mcp/`, executed by a `Graph` (`graph.py`): the engine of this process for
`/mcp`, or a running server for `exo-graphql mcp`. `tools.py` is the table of tools, `call.py` carries one out,
`resources.py` and `prompts.py` are the rest, and `server.py` ties them to the SDK. That is an optional dependency: no
other module imports it, and `server.py` is imported only once a client has come.
"""
