"""Which server is to lead: one that may, and that exo answers."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from exo_graphql.replicas.candidate import HAND_OVER_AFTER, HAND_OVER_EVERY, Candidate
from exo_graphql.storage.leadership import Replica
from tests.support.leaderships import Directed, replica
from tests.support.threaded_time import InlineTimeLoop

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": InlineTimeLoop}


@dataclass
class Silent:
    """exo as this server knows it: silent since some time of the loop."""

    since: float | None = None
    is_of_another_cluster: bool = False

    @property
    def reads_exo(self) -> bool | None:
        return None if self.since is None else False

    def silent_for(self) -> float:
        return 0.0 if self.since is None else elapsed() - self.since


def elapsed() -> float:
    return asyncio.get_running_loop().time()


class Leading(Directed):
    """Leads again whenever the server may: what else could keep it from that is not tried here."""

    def __init__(self, *others: Replica) -> None:
        super().__init__("a", *others)
        self.resigned: list[float] = []
        self.said: list[tuple[str | None, bool | None]] = []

    def describe(self, *, barred: str | None, reads_exo: bool | None) -> None:
        self.said.append((barred, reads_exo))

    def resign(self) -> None:
        self.resigned.append(elapsed())


COPYING = replica("b")
READING, SILENT = replace(COPYING, reads_exo=True), replace(COPYING, reads_exo=False)
BARRED = replace(READING, barred="is read-only (--read-only)")


@pytest.mark.parametrize(
    ("others", "times", "applies"),
    [
        ((READING,), 2, False),
        ((SILENT, replace(READING, id="c")), 2, False),
        ((COPYING,), 0, False),
        ((), 0, True),
        ((SILENT,), 0, True),
        ((BARRED,), 0, True),
        ((SILENT, replace(BARRED, id="c")), 0, True),
    ],
)
async def test_a_leader_without_exo_gives_way_to_one_that_has_it_and_may_lead_once_a_minute(
    others: tuple[Replica, ...], times: int, applies: bool
) -> None:
    there, known = Silent(elapsed()), Leading(*others)
    began = elapsed()
    async with Candidate(known, there, read_only=False, elapsed=elapsed) as it:
        assert it.may_lead() is applies
        await asyncio.sleep(HAND_OVER_AFTER - 1.5)
        assert known.resigned == []
        await asyncio.sleep(HAND_OVER_EVERY + 5)
        assert [round(at - began) for at in known.resigned] == [HAND_OVER_AFTER, HAND_OVER_AFTER + HAND_OVER_EVERY][
            :times
        ]
        assert known.said[-1:] == [(None, False)]
        there.since = None
        assert it.may_lead()
        await asyncio.sleep(100)
        assert len(known.resigned) == times
        assert known.said[-1:] == [(None, None)]


async def test_a_server_that_must_not_lead_says_why() -> None:
    there, known = Silent(), Leading()
    screen = Candidate(known, there, read_only=True, elapsed=elapsed)
    assert not screen.may_lead()
    assert known.said == [("is read-only (--read-only)", None)]
    async with Candidate(known, there, read_only=False, elapsed=elapsed) as it:
        assert it.may_lead()
        there.is_of_another_cluster = True
        await asyncio.sleep(2)
        assert not it.may_lead()
        assert known.said[-1] == ("has an --exo-url of another cluster", None)


async def test_the_log_says_once_that_no_server_can_lead(caplog: pytest.LogCaptureFixture) -> None:
    known = Leading(replica("b", leads=True))
    async with Candidate(known, Silent(), read_only=True, elapsed=elapsed):
        await asyncio.sleep(10)
        assert not caplog.records
        known.set(None)
        await asyncio.sleep(10)
    assert [record.message for record in caplog.records] == [
        "No server leads now. Operations are paused, and mutations refused."
    ]
