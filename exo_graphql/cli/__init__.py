"""The command line: sends GraphQL to a running server and renders the answers. It knows the server by HTTP alone.

Read `commands.py` (the commands), `session.py` (what each does: ask, show, fail), `client.py` (HTTP and event streams),
`views.py`, `deployment_views.py` and `tables.py` with `layout.py` (output), `applying.py` (a file of deployments),
`waiting.py` and `watch.py` (subscriptions), and `failures.py` (exit codes).
"""
