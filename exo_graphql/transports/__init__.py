"""How requests arrive and answers leave: HTTP, server-sent events and websockets. They know nothing of the cluster.

Read `app` first, which routes by path. `origin_policy` and `auth` decide who may send requests. `http` reads a request
(`exchange`, `content_types`) and passes it to `json_handler` or `sse`; `websocket` serves each `websocket_connection`
(`messages`). Below them: `asgi` (bodies and responses), `protocols` (bounds on connections), `rules` (numbers).
"""
