"""What every process of the tests would do anew, as a pytest plugin: compile all modules, and look at all objects.

And what a demo would do on a thread, for which a test whose time is virtual would not wait.
"""

import gc
import os
import sys

import pytest

from exo_graphql.simulator.api import FASTAPI

# Many containers set it. Each process would rewrite the asserts of 260 files again, which takes 4 s of CPU time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.hookimpl
def pytest_collection_finish() -> None:
    """What all the tests are made of stays to the end: the collector of cycles need not look at it again and again."""
    FASTAPI.load()
    gc.collect()
    gc.freeze()
