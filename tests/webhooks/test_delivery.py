"""Every event arrives at least once within a day, under the same id, whatever happens to receivers and server."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from exo_graphql.events import Event, EventKind
from exo_graphql.storage import Collection, Entry, StoreError
from exo_graphql.storage.sqlite import SQLiteStore
from exo_graphql.webhooks import delivery, schedule
from exo_graphql.webhooks.attempt import TIMEOUT
from exo_graphql.webhooks.message import Message, message_of
from exo_graphql.webhooks.schedule import LONGEST_PAUSE
from exo_graphql.webhooks.secret import new_secret
from tests.support.polled_cluster import loop_now
from tests.support.threaded_time import ThreadedTimeLoop
from tests.webhooks.receivers import SECRET, Receiver, bodies, sending

pytestmark = pytest.mark.anyio
HOUR = 3600


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": ThreadedTimeLoop}


def _store(directory: Path) -> SQLiteStore:
    return SQLiteStore(directory / "operations.sqlite3")


async def test_an_event_arrives_at_once_and_signed_by_each_secret(tmp_path: Path) -> None:
    receiver, other = Receiver(), new_secret()
    async with sending(_store(tmp_path), {"ha": receiver}, secrets=[SECRET, other]) as server:
        server.happen("It is lost.")
        await asyncio.sleep(0.1)
        (received,) = receiver.requests
        (body,) = bodies(receiver.requests)
        assert body["type"] == "MODEL_LOST"
        assert body["data"] == {"id": "event-1", "severity": "ERROR", "message": "It is lost."}
        sent = loop_now().replace(microsecond=0)
        assert received.headers["webhook-timestamp"] == str(int(sent.timestamp()))
        signatures = received.headers["webhook-signature"].split()
        assert signatures == [Webhook(each).sign(received.id, sent, received.body.decode()) for each in (SECRET, other)]
        assert "." not in received.id
        assert server[0].delivered == 1
        assert server[0].pending == 0


async def test_a_receiver_that_was_down_for_hours_gets_all_under_the_first_ids(tmp_path: Path) -> None:
    receiver = Receiver(status=500)
    async with sending(_store(tmp_path), {"ha": receiver}) as server:
        server.happen("one", "two", "three")
        await asyncio.sleep(3 * HOUR)
        failed = receiver.requests[:]
        assert len(failed) < 30
        assert server[0].last_error == "It answered 500 Internal Server Error."
        assert server[0].seconds_to_next is not None
        receiver.status = 200
        await asyncio.sleep(LONGEST_PAUSE * 1.2)
        assert sorted(receiver.taken) == ["one", "three", "two"]
        assert {each.id for each in receiver.requests[len(failed) :]} == {each.id for each in failed}
        assert (server[0].failing_since, server[0].delivered, server[0].pending) == (None, 3, 0)


async def test_receivers_that_are_dead_or_hang_hold_up_no_other(tmp_path: Path) -> None:
    receivers = {"dead": Receiver(down=True), "hangs": Receiver(hangs=True), "slow": Receiver(500), "works": Receiver()}
    async with sending(_store(tmp_path), receivers) as server:
        for number in range(5):
            server.happen(f"{number}")
            await asyncio.sleep(0.01)
            assert receivers["works"].taken[-1] == f"{number}"
        await asyncio.sleep(2 * TIMEOUT)
        assert server[0].last_error == "It cannot be reached."
        assert server[1].last_error == f"No answer within {TIMEOUT:g} s."
        assert receivers["works"].taken == ["0", "1", "2", "3", "4"]


async def test_what_one_event_provokes_holds_up_no_other_event(tmp_path: Path) -> None:
    receiver = Receiver(answer=lambda message: 400 if message == "bad" else 204)
    async with sending(_store(tmp_path), {"ha": receiver}) as server:
        server.happen("one", "bad", "two")
        await asyncio.sleep(0.1)
        assert receiver.taken == ["one", "two"]
        assert server[0].pending == 1
        receiver.answer = None
        await asyncio.sleep(10)
        assert receiver.taken == ["one", "two", "bad"]


async def test_a_receiver_that_wants_no_more_gets_none_until_a_test_succeeds(tmp_path: Path) -> None:
    receiver = Receiver(status=410)
    async with sending(_store(tmp_path), {"ha": receiver}) as server:
        server.happen("one")
        await asyncio.sleep(HOUR)
        server.happen("two")
        await asyncio.sleep(HOUR)
        assert len(receiver.requests) == 1
        assert server[0].gone
        ((_, result),) = await server.webhooks.test()
        assert result.error == "It answered 410 Gone."
        receiver.status = 204
        await server.webhooks.test("ha")
        await asyncio.sleep(1)
        assert sorted(receiver.taken[1:]) == ["one", "two"]
        assert not server[0].gone


async def test_after_a_restart_it_is_asked_again_whether_it_wants_no_more(tmp_path: Path) -> None:
    receiver = Receiver(status=410)
    async with sending(_store(tmp_path), {"ha": receiver}) as server:
        server.happen("one")
        await asyncio.sleep(1)
    receiver.status = 204
    async with sending(_store(tmp_path), {"ha": receiver}):
        await asyncio.sleep(1)
    assert receiver.taken == ["one"]


@pytest.mark.parametrize(
    ("status", "headers", "pause"),
    [
        (429, {"retry-after": "120"}, 120),
        (503, {"retry-after": "Mon, 22 Jun 2026 12:10:00 GMT"}, 600),
        (503, {"retry-after": "Mon, 22 Jun 2020 12:10:00 GMT"}, 5),
        (429, {"retry-after": "soon"}, 5),
        (429, {"retry-after": "999999999999999999999"}, HOUR),
    ],
)
async def test_a_receiver_is_left_alone_for_as_long_as_it_asks(
    tmp_path: Path, status: int, headers: dict[str, str], pause: int
) -> None:
    receiver = Receiver(status, headers)
    async with sending(_store(tmp_path), {"ha": receiver}) as server:
        server.happen("one")
        await asyncio.sleep(pause - 1)
        assert len(receiver.requests) == 1
        await asyncio.sleep(0.2 * pause + 2)
        assert len(receiver.requests) > 1


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    receiver, other = Receiver(301, {"location": "http://other/"}), Receiver()
    async with sending(_store(tmp_path), {"ha": receiver, "other": other}, urls=["http://ha/"]) as server:
        server.happen("one")
        await asyncio.sleep(60)
        assert other.requests == []
        expected = "It answered 301 Moved Permanently. Redirects are not followed: configure the URL that it leads to."
        assert server[0].last_error == expected


async def test_only_selected_events_are_sent(tmp_path: Path) -> None:
    receiver = Receiver()
    async with sending(_store(tmp_path), {"ha": receiver}, urls=["http://ha/?kinds=NODE_LEFT"]) as server:
        server.happen("lost")
        server.happen("left", kind=EventKind.NODE_LEFT)
        await asyncio.sleep(1)
        assert receiver.taken == ["left"]
        assert server[0].pending == 0


# Restarts


@pytest.mark.parametrize("killed", [False, True])
async def test_what_was_not_delivered_before_a_restart_arrives_after_it(tmp_path: Path, killed: bool) -> None:
    receiver = Receiver(500)
    async with sending(_store(tmp_path), {"ha": receiver}, killed=killed) as server:
        server.happen("one", "two")
        await asyncio.sleep(100)
    before = {each.id for each in receiver.requests}
    receiver.status = 204
    async with sending(_store(tmp_path), {"ha": receiver}) as server:
        await asyncio.sleep(1)
        assert receiver.taken == ["one", "two"]
        assert {each.id for each in receiver.requests} == before
        server.happen("three")
        await asyncio.sleep(1)
        assert receiver.taken == ["one", "two", "three"]


@pytest.mark.parametrize("after", [0.0, 0.001, 0.05, 0.9, 1.1, 3.0])
async def test_a_server_that_is_killed_at_any_moment_loses_nothing_that_it_has_stored(
    tmp_path: Path, after: float
) -> None:
    receiver = Receiver()
    async with sending(_store(tmp_path), {"ha": receiver}, killed=True) as server:
        server.happen("one")
        await asyncio.sleep(0.5)
        server.happen("two", "three")
        await server.log._write_waiting()
        await asyncio.sleep(after)
    async with sending(_store(tmp_path), {"ha": receiver}) as server:
        await asyncio.sleep(1)
        assert set(receiver.taken) == {"one", "two", "three"}
        ids = {each.message: each.id for each in receiver.requests}
        assert all(ids[each.message] == each.id for each in receiver.requests)


class _Full(SQLiteStore):
    """A disk on which no event can be written."""

    async def append(self, *_: object) -> None:
        raise StoreError("The disk is full.")


async def test_an_event_that_gets_the_number_of_one_that_was_never_stored_is_another_event(tmp_path: Path) -> None:
    receiver = Receiver()
    async with sending(_Full(tmp_path / "operations.sqlite3"), {"ha": receiver}, killed=True) as server:
        server.happen("sent, and then forgotten")
        await asyncio.sleep(5)
    assert len(receiver.taken) == 1  # a full disk keeps nothing from being sent
    async with sending(_store(tmp_path), {"ha": receiver}) as server:
        server.happen("with the same number")
        await asyncio.sleep(1)
    first, second = receiver.requests
    assert [body["data"]["id"] for body in bodies(receiver.requests)] == ["event-1", "event-1"]
    assert first.id != second.id
    assert receiver.taken[1] == "with the same number"


async def test_a_new_receiver_gets_what_happens_from_then_on_also_when_the_server_is_killed(tmp_path: Path) -> None:
    old, new = Receiver(), Receiver(down=True)
    async with sending(_store(tmp_path), {"old": old}) as server:
        server.happen("before")
        await asyncio.sleep(1)
    async with sending(_store(tmp_path), {"old": old, "new": new}, killed=True) as server:
        server.happen("after")
        await server.log._write_waiting()
    new.down = False
    async with sending(_store(tmp_path), {"old": old, "new": new}):
        await asyncio.sleep(1)
    assert new.taken == ["after"]
    # One that was taken out of the configuration and is put back begins anew.
    async with sending(_store(tmp_path), {"old": old}) as server:
        server.happen("without")
        await asyncio.sleep(1)
    async with sending(_store(tmp_path), {"old": old, "new": new}):
        await asyncio.sleep(1)
    assert new.taken == ["after"]
    assert old.taken == ["before", "after", "without"]


async def test_after_a_day_an_event_is_given_up_and_counted(tmp_path: Path) -> None:
    receiver = Receiver(500)
    async with sending(_store(tmp_path), {"ha": receiver}) as server:
        server.happen("old")
        await asyncio.sleep(12 * HOUR)
        server.happen("newer")
        await asyncio.sleep(13 * HOUR)
        receiver.status = 204
        await asyncio.sleep(HOUR)
        assert receiver.taken == ["newer"]
        assert (server[0].given_up, server[0].delivered, server[0].pending) == (1, 1, 0)


async def test_what_was_recorded_more_than_a_day_before_the_start_is_not_sent(tmp_path: Path) -> None:
    receiver = Receiver(down=True)
    async with sending(_store(tmp_path), {"ha": receiver}) as server:
        server.happen("old")
        await asyncio.sleep(1)
    receiver.down = False
    later = timedelta(days=2)
    await asyncio.sleep(later.total_seconds())
    async with sending(_store(tmp_path), {"ha": receiver}) as server:
        await asyncio.sleep(1)
        assert (receiver.taken, server[0].given_up) == ([], 1)


async def test_more_events_than_fit_into_memory_wait_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "MAX_PENDING", 5)
    receiver = Receiver(500)
    async with sending(_store(tmp_path), {"ha": receiver}) as server:
        server.happen(*map(str, range(20)))
        await asyncio.sleep(HOUR)
        assert len(server[0]._schedule.pending) == 5
        assert server[0].pending == 20
        receiver.status = 204
        await asyncio.sleep(LONGEST_PAUSE * 1.2)
        assert sorted(receiver.taken, key=int) == list(map(str, range(20)))


class _Failing(SQLiteStore):
    failing = False

    async def save(self, collection: Collection, entry: Entry) -> None:
        if self.failing:
            raise StoreError("The disk is full.")
        await super().save(collection, entry)


async def test_a_store_that_fails_delays_no_delivery(tmp_path: Path) -> None:
    receiver, path = Receiver(), tmp_path / "operations.sqlite3"
    store = _Failing(path)
    async with sending(store, {"ha": receiver}, killed=True) as server:
        store.failing = True
        server.happen("one", "two", "three")
        await asyncio.sleep(3)
        server.happen("four")
        await asyncio.sleep(1)
        assert receiver.taken == ["one", "two", "three", "four"]
        await asyncio.sleep(60)
        store.failing = False
        await asyncio.sleep(60)
    async with sending(SQLiteStore(path), {"ha": receiver}, killed=True):
        await asyncio.sleep(1)
    assert len(receiver.taken) == 4


async def test_a_message_that_is_too_long_is_cut(tmp_path: Path) -> None:
    receiver = Receiver()
    async with sending(_store(tmp_path), {"ha": receiver}) as server:
        server.happen("é" * 100_000)
        await asyncio.sleep(1)
        assert len(receiver.requests[0].body) < 20_000


async def test_a_fault_of_ours_about_one_event_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(event: Event) -> Message:
        if event.message == "faulty":
            raise TypeError
        return message_of(event)

    monkeypatch.setattr(delivery, "message_of", faulty)
    receiver = Receiver()
    async with sending(_store(tmp_path), {"ha": receiver}) as server:
        server.happen("one", "faulty", "two")
        await asyncio.sleep(1)
        assert receiver.taken == ["one", "two"]
        assert server[0].pending == 1
        assert server[0].last_error == "The event cannot be sent; see the log of this server."


async def test_tests_at_the_same_time_send_one_message(tmp_path: Path) -> None:
    receiver = Receiver(hangs=True)
    async with sending(_store(tmp_path), {"ha": receiver}) as server:
        results = await asyncio.gather(*(server.webhooks.test() for _ in range(50)))
        assert {result.error for ((_, result),) in results} == {f"No answer within {TIMEOUT:g} s."}
        assert len(receiver.requests) == 1
        receiver.hangs = False
        ((_, result),) = await server.webhooks.test()
        assert result.delivered
