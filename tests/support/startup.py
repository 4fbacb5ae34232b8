"""What every process of the tests would do anew, as a pytest plugin: compile all modules, and look at all objects."""

import gc
import os
import sys

import pytest

# Many containers set it. Each process would rewrite the asserts of 260 files again, which takes 4 s of CPU time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.hookimpl
def pytest_collection_finish() -> None:
    """What all the tests are made of stays to the end: the collector of cycles need not look at it again and again."""
    gc.collect()
    gc.freeze()
