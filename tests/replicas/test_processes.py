"""Real servers, one real PostgreSQL and one simulated exo: a leader that fails in the middle of a swap is replaced.

`python -m tests.replicas` tries every step with every fault, and with the usual lease.
"""

from pathlib import Path

import pytest

from tests.replicas.trial import Trial
from tests.support.own_time import OWN_TIME, Backend

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

QUICK = ("--lease-seconds", "3", "--renew-seconds", "0.5")


@pytest.fixture
def anyio_backend() -> Backend:
    """Real time: other processes do not share a virtual one."""
    return OWN_TIME


@pytest.mark.parametrize(
    ("step", "fault", "beside"),
    [("unload", "stop", True), ("restore", "kill", False)],
)
async def test_another_server_ends_the_swap(step: str, fault: str, beside: bool, tmp_path: Path, database: str) -> None:
    trial = Trial(step, fault, beside, speed=2.0, arguments=QUICK, within=15.0, outage=5.0)
    outcome = await trial.run(tmp_path, database)
    assert outcome.problems == []
