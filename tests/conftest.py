"""What every test shares: a loop with a time of its own, and the tools (a Chromium, Node, the wheel)."""

pytest_plugins = [
    "tests.support.startup",
    "tests.support.own_time",
    "pytester",
    "tests.support.chromium",
    "tests.support.forks",
    "tests.support.node_tools",
    "tests.support.postgres",
    "tests.support.scheduling",
    "tests.support.stores",
    "tests.support.tools",
    "tests.support.wheel",
]
