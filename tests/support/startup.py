"""What the processes of the tests would do again and again, as a pytest plugin: look at objects, read certificates.

And what a demo would do on a thread, for which a test whose time is virtual would not wait.
"""

import gc
import os
import ssl
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest

# Many containers set it. Each process would rewrite the asserts of 260 files again, which takes 4 s of CPU time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported and collected stays: to look for cycles in it takes a second of CPU time in each process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl
def pytest_collection_finish() -> None:
    """Where tests run, which is not in the process that hands them out."""
    import httpx
    import typer.testing

    from exo_graphql.simulator.api import FASTAPI

    FASTAPI.load()
    # Clients without a TLS context of their own share one: to read 140 authorities takes each 10 ms of CPU time.
    httpx._transports.default.create_ssl_context = _ssl_context  # type: ignore[attr-defined]
    # To make all commands from their functions takes 20 ms of CPU time, and each `invoke` would do it.
    typer.testing._get_command = lru_cache(typer.testing._get_command)  # type: ignore[attr-defined]
    # What all the tests are made of stays to the end: the collector of cycles need not look at it again and again.
    gc.freeze()


def _ssl_context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    import httpx

    if verify is not True or cert is not None or not trust_env:
        return httpx.create_ssl_context(verify, cert, trust_env)
    return _usual_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache
def _usual_context(file: str | None, folder: str | None) -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()
