"""uvicorn's protocols with bounds that no setting of uvicorn (0.54) gives. Read `http` first, then `websocket`.

- Connections (`max_connections`). uvicorn's `limit_concurrency` is checked when a request's headers are there: a client
  that sends none holds its connection, and websockets are never checked.
- Seconds until a request's headers are there. `timeout_keep_alive` starts after a first response, and the first byte of
  the next request ends it.
- Size of a request's headers. `h11_max_incomplete_event_size` is for h11 alone; httptools has no limit.
- A request body that never ends after an early response. Each of its bytes ends `timeout_keep_alive`.
- What is parsed in one go (`slices`). `ws_max_queue` is for the older websocket implementation alone; HTTP has none.
- Seconds that what was sent may wait to be read (`unsent`). `ws_ping_timeout` closes the connection, which first writes
  the buffer, and so waits for the same client; HTTP has none.
- Pongs for a client that sends pings and does not read. No setting.
- Pieces of one message. `ws_max_size` bounds their bytes, and an empty piece has none.
- Work for a client that has gone. No setting: uvicorn informs the newest of pipelined requests, and cancels no task.

And one thing for speed: `sender` sends a whole response in one go.
"""

from functools import partial

from exo_graphql.transports.protocols.http import HttpConnection
from exo_graphql.transports.protocols.websocket import WebSocketConnection


def http_connections(max_connections: int, header_timeout: float, send_timeout: float) -> partial[HttpConnection]:
    """uvicorn's `http`: makes the protocol of each connection. Seconds."""
    return partial(
        HttpConnection, max_connections=max_connections, header_timeout=header_timeout, send_timeout=send_timeout
    )


def websocket_connections(send_timeout: float) -> partial[WebSocketConnection]:
    """uvicorn's `ws`: makes the protocol of each websocket. Seconds."""
    return partial(WebSocketConnection, send_timeout=send_timeout)
