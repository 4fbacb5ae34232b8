"""Running the server: uvicorn, and a shutdown after which clients connect again."""

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import ClassVar

import uvicorn
from uvicorn.loops.auto import auto_loop_factory

from exo_graphql.app import build
from exo_graphql.configured import DEFAULT_TUNING, Tuning, simulated
from exo_graphql.settings import Settings, SettingsError
from exo_graphql.storage import StoreError
from exo_graphql.transports.protocols import http_connections, websocket_connections
from exo_graphql.transports.rules import DEFAULT_TRANSPORT_RULES, TransportRules

if sys.platform != "win32":
    import resource

logger = logging.getLogger("exo_graphql")

# Seconds from the close frames until connections that are still open are cut.
GRACE_SECONDS = 2
# Seconds after the first Ctrl-C: from then on, another Ctrl-C ends the process at once.
BREAK_OFF_AFTER = 2 * GRACE_SECONDS
# Seconds from the first signal until the process ends even so. What it waits for then is lost to it: a thread that
# looks a name up, or a database that does not answer. Nothing is lost to the next start: what is under way is stored.
END_SECONDS = 10
# Seconds after which the kernel cuts a connection that has acknowledged nothing: its client's machine is off or away.
UNREAD_SECONDS = 60
# Seconds after which Python switches from a busy thread to one that waits. A request that is answered while two threads
# are busy waits for several switches: measured, the slowest of a hundred take half as long as with Python's 5 ms.
SWITCH_SECONDS = 0.001
# Bytes of an answer that the kernel accepts at once; it doubles the number. An overview has 130 kB: with the kernel's
# default, sending it takes several rounds of the event loop and a quarter more time. Without a fixed size, the kernel
# may let a buffer grow to four times as much.
SEND_BUFFER = 512 * 1024
# New objects after which the garbage collector runs, for each of its three generations. With Python's 700, 10, 10 it
# scanned the cached documents and the state so often that it took half of the time of an unseen document.
COLLECT_AFTER = 20_000, 20, 20
# Open files besides clients' connections: the journal, connections to exo, files of libraries.
SPARE_FILES = 200


class _Advice(logging.Filter):
    """Adds advice to uvicorn's message that it cannot listen."""

    _ADVICE: ClassVar = {
        errno.EADDRINUSE: "Another program listens there: end it, or give another --port.",
        errno.EACCES: "This user may not listen there: give a --port from 1024 on.",
        errno.EADDRNOTAVAIL: "This machine has no such address: give another --host.",
    }

    def filter(self, record: logging.LogRecord) -> bool:
        """Adds the advice to the record; never drops one."""
        error = record.msg
        if isinstance(error, socket.gaierror):  # its numbers are of another kind
            record.msg = f"{error}. This name has no address here: give another --host."
        elif isinstance(error, OSError) and error.errno in self._ADVICE:
            record.msg = f"{error}. {self._ADVICE[error.errno]}"
        return True


class Server(uvicorn.Server):
    """uvicorn that closes subscriptions properly before it closes its sockets."""

    def __init__(
        self,
        config: uvicorn.Config,
        greeting: str,
        goodbye: Callable[[], Awaitable[None]],
        end_seconds: float = END_SECONDS,
    ) -> None:
        super().__init__(config)
        self._greeting = greeting
        self._goodbye = goodbye
        self._end_seconds = end_seconds
        self._stopping_since: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen, and logs where."""
        sys.setswitchinterval(SWITCH_SECONDS)
        advice = _Advice()
        log = logging.getLogger("uvicorn.error")
        log.addFilter(advice)
        try:
            await super().startup(sockets)
        finally:
            log.removeFilter(advice)
        if self.started:
            listeners = [listener for server in self.servers for listener in server.sockets]
            _tune(listeners)
            logger.info(self._greeting.format(port=listeners[0].getsockname()[1]))
        # Objects made at start-up live as long as the process: the collector need not scan them. There is little
        # garbage among them (0.7 MB): not worth a collection, which would hold up the first request by 60 ms.
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        gc.enable()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to shut down. A further Ctrl-C ends the process only if shutting down takes too long.

        At a second Ctrl-C uvicorn itself would break off and log a traceback, though it is about to end.
        """
        now = asyncio.get_running_loop().time()
        if self._stopping_since is None:
            self._stopping_since = now
            super().handle_exit(sig, frame)
            # A thread: the event loop itself may be what hangs.
            watch = threading.Timer(self._end_seconds, _end_at_once, (self._end_seconds,))
            watch.daemon = True
            watch.start()
        elif sig == signal.SIGINT and now - self._stopping_since > BREAK_OFF_AFTER:
            os._exit(130)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts no more connections, ends the subscriptions, then stops."""
        for server in self.servers:
            server.close()
        await self._goodbye()
        await super().shutdown(sockets)


def _end_at_once(seconds: float) -> None:
    """Ends the process, with the places at which its threads hang in the log: nobody could find the cause otherwise."""
    running = sys._current_frames()  # noqa: SLF001  # documented; there is no other way to another thread's stack
    stacks = []
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.ident in running:
            innermost = traceback.extract_stack(running[thread.ident])[:-5:-1]
            places = (f"{each.name} ({Path(each.filename).name}:{each.lineno})" for each in innermost)
            stacks.append(f"{thread.name}: {' < '.join(places)}")
    logger.error("Not stopped within %g s: ended at once. It waited in %s.", seconds, "; ".join(stacks))
    logging.shutdown()
    os._exit(1)


def _tune(listeners: Iterable[socket.socket]) -> None:
    """Sets what connections inherit from the listener: the send buffer, and the time limit of sending (Linux alone)."""
    for listener in listeners:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)


def server_config(
    app: object,
    host: str,
    port: int,
    settings: Settings | None = None,
    rules: TransportRules = DEFAULT_TRANSPORT_RULES,
) -> uvicorn.Config:
    """uvicorn's configuration; tests and benchmarks use it too."""
    settings = settings or Settings.model_validate({})
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # a plain ASGI application
        host=host,
        port=port,
        http=http_connections(  # type: ignore[arg-type]  # makes one
            settings.max_connections, rules.header_timeout, rules.send_timeout
        ),
        ws=websocket_connections(rules.send_timeout),  # type: ignore[arg-type]  # makes one
        ws_max_size=rules.max_message_bytes,
        log_config=None,
        # Below "error" it logs whole URLs, and a line for each broken request: clients could fill the log.
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        # Compressing each message for each of a thousand subscribers costs more than it saves on a local network.
        ws_per_message_deflate=False,
    )


def block_on(main: Coroutine[object, object, int]) -> int:
    """Runs it to its end, in uvloop where there is one."""
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        return runner.run(main)


async def run(settings: Settings, tuning: Tuning = DEFAULT_TUNING) -> int:
    """Serves until a signal ends it; returns the exit code. Raises `SettingsError`."""
    components = build(settings, tuning=tuning)
    try:
        await components.store.connect()
        another = await components.another_cluster()
        if another is None:
            await components.store.open()
            await components.operations.prepare()
            await components.deployments.prepare()
    except StoreError as error:
        if settings.database_url.get_secret_value():
            raise SettingsError("database_url", str(error), exit_code=1) from error
        advice = "Give --state-dir a directory of its own that can be written."
        raise SettingsError("state_dir", f"{settings.state_dir}: {error} {advice}", exit_code=1) from error
    if another is not None:
        await components.store.close()
        await components.poller.aclose()
        raise SettingsError("exo_url", another, exit_code=1)
    _allow_open_files(settings.max_connections)
    config = server_config(components.asgi, settings.host, settings.port, settings, tuning.transport)
    base = base_url(settings.host)
    greeting = f"GraphQL at {base}/graphql, the dashboard at {base}/"
    return await _serve(Server(config, greeting, components.shut_down))


def base_url(host: str) -> str:
    """The URL of a server that listens on this host, with `{port}` for its port."""
    return f"http://[{host}]:{{port}}" if ":" in host else f"http://{host}:{{port}}"


def _allow_open_files(connections: int) -> None:
    """Raises the limit of open files, often 1,024, to what the connections need, as far as allowed."""
    if sys.platform == "win32":
        return
    wanted = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def run_simulation(host: str, port: int, speed: float, faults: list[str]) -> int:
    """Serves a simulated exo until a signal ends it; returns the exit code. Raises `SettingsError`."""
    exo = simulated(speed, faults)
    return await serve_application(exo.app, host, port, f"exo, simulated, at {base_url(host)}")


async def serve_application(app: object, host: str, port: int, greeting: str = "http://127.0.0.1:{port}") -> int:
    """Serves another application exactly as this server is served, until a signal ends it; returns the exit code."""
    return await _serve(Server(server_config(app, host, port), greeting, _no_goodbye))


async def _no_goodbye() -> None:
    return


async def _serve(server: Server) -> int:
    with contextlib.suppress(SystemExit), _signals_only_end_it():
        await server.serve()
    return 0 if server.started else 1


@contextlib.contextmanager
def _signals_only_end_it() -> Iterator[None]:
    """After it has stopped, uvicorn raises the signal again, which must not end the process before the cleanup."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
