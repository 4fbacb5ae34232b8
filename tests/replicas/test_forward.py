"""How a mutation reaches the server that leads, whatever that server and the network do meanwhile."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trustme

from exo_graphql.replicas.forward import DEFAULT_FORWARD_RULES, Forwarding, ForwardRules
from exo_graphql.replicas.leader_client import OUTCOME_HEADER, ROLE_HEADER
from exo_graphql.replicas.mutation import Answered, Mutation, NoAnswer, NoDatabase, NoLeader, TooMany
from exo_graphql.storage import StoreError
from exo_graphql.tls import client_context
from tests.support.leaders import Act, Arrival, Leader, accept, answering, break_off, executed, follow, hang, leading
from tests.support.leaderships import SECRET, Directed, replica
from tests.support.running import until

pytestmark = pytest.mark.anyio

ONCE = Mutation("mutation { cancelTask(id: 1) { error { code } } }", "Name", {"a": [1, "é"]}, "cron", True, False)
REPEATABLE = replace(ONCE, repeatable=True)
QUICK = ForwardRules(take_over=0.05, retry_every=0.02, connect=5, answer=5, grace=5)
PATIENT = replace(QUICK, take_over=5)
ACCEPTED = Answered("EXECUTED", b'{"data":{}}')


class DirectedRole:
    """The `Role` of a server that acts as soon as it leads."""

    def __init__(self, leadership: Directed) -> None:
        self._leadership = leadership
        self.refreshed = 0

    @property
    def leading(self) -> bool:
        return self._leadership.leads

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        return self._leadership.listen(callback)

    async def refresh(self) -> None:
        self.refreshed += 1


class ActingRole(DirectedRole):
    """The `Role` of a server whose parts act."""

    leading = True


class Follower:
    """A server that follows a leader of the test's."""

    def __init__(self, leadership: Directed, rules: ForwardRules) -> None:
        self.leadership = leadership
        self.role = DirectedRole(leadership)
        self.database = asyncio.Event()
        """Set while it answers."""
        self.database.set()
        self.forwarding = Forwarding(leadership, self.role, self.database.wait, lease_seconds=0.1, rules=rules)

    async def send(self, mutation: Mutation = ONCE) -> Answered | None:
        async with asyncio.timeout(5):
            return await self.forwarding.forward(mutation)


@asynccontextmanager
async def follower(act: Act, rules: ForwardRules = QUICK) -> AsyncIterator[tuple[Follower, Leader]]:
    """One whose leader acts like this."""
    async with leading(act) as leader:
        it = Follower(Directed("b", replica("a", leader.url, leads=True)), rules)
        async with it.forwarding:
            yield it, leader
        assert it.leadership._callbacks == []
        assert it.forwarding.waiting == 0


def closed_port() -> str:
    """A URL at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_the_leader_gets_the_mutation_its_caller_and_the_secret_and_is_asked_once() -> None:
    async with follower(accept) as (it, leader):
        assert await it.send() == ACCEPTED
        assert it.role.refreshed == 1  # before the caller has the answer
    (arrival,) = leader.arrived
    assert arrival.body == {
        "query": ONCE.query,
        "operationName": "Name",
        "variables": {"a": [1, "é"]},
        "by": "cron",
        "rights": "OPERATE",
        "trusted": True,
    }
    assert f"authorization: Bearer {SECRET}\r\n" in arrival.head.replace("Authorization", "authorization")
    assert "POST /replica/graphql HTTP/1.1\r\n" in arrival.head
    assert "exo-graphql-to: a\r\n" in arrival.head
    assert dict(it.forwarding.ended) == {"answered": 1}


async def test_an_answer_is_passed_on_whatever_its_outcome() -> None:
    async with follower(answering(200, b'{"errors":[]}', "exo-graphql-outcome: FORBIDDEN")) as (it, _):
        assert await it.send() == Answered("FORBIDDEN", b'{"errors":[]}')


async def test_a_server_that_leads_itself_sends_nothing() -> None:
    it = Follower(Directed("b"), QUICK)
    assert await it.send() is None


# What cannot have been carried out is sent again until a take-over is over.


@pytest.mark.parametrize(
    ("act", "why"),
    [
        pytest.param(follow, "no longer leads", id="does not lead"),
        pytest.param(answering(401), "shares no database", id="another secret"),
        pytest.param(answering(404), "HTTP 404", id="another program"),
        pytest.param(answering(421), "HTTP 421", id="another host"),
        pytest.param(answering(307, b"", "location: http://127.0.0.1:9/"), "HTTP 307", id="redirect"),
        pytest.param(answering(409), "HTTP 409", id="a conflict of something else"),
    ],
)
async def test_what_was_certainly_not_carried_out_is_tried_until_the_time_of_a_take_over_is_over(
    act: Act, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with follower(act, PATIENT) as (it, leader):

        async def refused_twice(arrival: Arrival) -> None:
            await (act if len(leader.arrived) < 3 else accept)(arrival)

        leader.act = refused_twice
        assert await it.send() == ACCEPTED
        assert len(leader.arrived) == 3
    async with follower(act) as (it, leader):
        began = asyncio.get_running_loop().time()
        with pytest.raises(NoLeader, match=why) as raised:
            await it.send()
        assert asyncio.get_running_loop().time() - began > 0.12
        assert dict(it.forwarding.ended) == {"unreachable": 1}
        assert it.role.refreshed == 0
    assert SECRET not in caplog.text + str(raised.value)
    assert why in caplog.text


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (None, "advertise-url"),
        ("nonsense", "cannot be reached"),
        ("ftp://127.0.0.1", "cannot be reached"),
        ("http://no-such-name.invalid:1", "cannot be reached at its address .--advertise-url."),
        ("http://[::1", "cannot be used"),
        ("http://", "cannot be reached"),
        ("http://127.0.0.1:99999", "cannot be used"),
    ],
)
async def test_an_address_that_leads_nowhere(url: str | None, why: str) -> None:
    it = Follower(Directed("b", replica("a", url, leads=True)), QUICK)
    async with it.forwarding:
        with pytest.raises(NoLeader, match=why):
            await it.send()


async def test_a_leader_that_is_started_again_gets_what_has_waited() -> None:
    dead = closed_port()
    it = Follower(Directed("b", replica("a", dead, leads=True)), replace(PATIENT, retry_every=5))
    async with it.forwarding, leading(accept) as leader:
        sending = asyncio.create_task(it.send())
        await until(lambda: it.leadership._callbacks)
        it.leadership.set("a", replica("a", leader.url, leads=True))
        assert await sending == ACCEPTED
        assert len(leader.arrived) == 1


ASKED = [
    pytest.param(follow, "no longer leads", id="does not lead"),
    pytest.param(answering(409, b"{}", "exo-graphql-role: another"), "see its --advertise-url", id="another server"),
    pytest.param(answering(401), "shares no database", id="another secret"),
    pytest.param(answering(405), "HTTP 405", id="another program"),
    pytest.param(answering(200), "HTTP 200", id="another answer"),
    pytest.param(answering(502), "HTTP 502", id="proxy"),
    pytest.param(break_off, "cannot be reached", id="closes"),
    pytest.param(hang, "within 0.05 s", id="hangs"),
]


@pytest.mark.parametrize(("tell", "why"), ASKED)
async def test_nothing_is_sent_to_a_leader_that_does_not_say_that_it_leads(tell: Act, why: str) -> None:
    async with follower(accept, replace(QUICK, connect=0.05 if tell is hang else 5)) as (it, leader):
        leader.tell = tell
        with pytest.raises(NoLeader, match=why):
            await it.send()
        assert leader.arrived == []


async def test_while_a_leader_hangs_a_mutation_without_a_key_waits_for_the_next_one() -> None:
    async with follower(accept, replace(PATIENT, connect=60)) as (it, old), leading(accept) as new:
        old.tell = hang
        sending = asyncio.create_task(it.send(ONCE))
        await until(lambda: old.asked)
        it.leadership.set("c", replica("c", new.url))
        assert await sending == ACCEPTED
        assert (len(old.arrived), len(new.arrived)) == (0, 1)


async def test_where_nobody_leads_it_waits_and_this_server_itself_may_be_the_next() -> None:
    it = Follower(Directed("b", replica("a", leads=True)), PATIENT)
    it.leadership.set(None)
    sending = asyncio.create_task(it.send())
    await asyncio.sleep(0.05)
    assert not sending.done()
    it.leadership.set("b")
    assert await sending is None

    it = Follower(Directed("b", replica("a", leads=True)), QUICK)
    it.leadership.set(None)
    with pytest.raises(NoLeader, match="No server leads"):
        await it.send()


async def test_where_nobody_leads_since_the_database_is_away_that_is_said() -> None:
    async def failing() -> None:
        raise StoreError("It is down.")

    for hangs in (True, False):
        it = Follower(Directed("b", replica("a", leads=True)), replace(QUICK, probe=0.05))
        it.leadership.set(None)
        it.database.clear()
        if not hangs:
            it.forwarding._read_store = failing
        with pytest.raises(NoDatabase):
            await it.send()


async def test_two_servers_that_each_take_the_other_for_the_leader_end_it_in_bounded_time() -> None:
    async with follower(follow, replace(QUICK, retry_every=0.05)) as (it, leader):
        with pytest.raises(NoLeader):
            await it.send()
        assert len(leader.arrived) <= 8  # one every 0.05 s, not as fast as they can


# What may have been carried out is sent again only where it happens once.

LOST = [
    pytest.param(break_off, "broke", id="closes"),
    pytest.param(executed(b'{"data":', length=100), "broke", id="closes within the answer"),
    pytest.param(executed(b"garbage"), "not one of GraphQL", id="garbage"),
    pytest.param(executed(b"[]"), "not one of GraphQL", id="another JSON"),
    pytest.param(executed(b"x" * 2000), "too long", id="too long"),
    pytest.param(answering(200), "HTTP 200", id="answers without an outcome"),
    pytest.param(answering(500), "HTTP 500", id="fault"),
    pytest.param(answering(502), "HTTP 502", id="proxy"),
    pytest.param(hang, "within 0.3 s", id="hangs"),
]


@pytest.mark.parametrize(("act", "why"), LOST)
async def test_what_may_have_been_carried_out_is_not_sent_again(act: Act, why: str) -> None:
    rules = replace(QUICK, max_answer_bytes=1000, answer=0.3 if act is hang else 5)
    async with follower(act, rules) as (it, leader):
        with pytest.raises(NoAnswer, match=why):
            await it.send()
        assert len(leader.arrived) == 1
        assert dict(it.forwarding.ended) == {"unknown": 1}


@pytest.mark.parametrize(("act", "why"), LOST)
async def test_with_a_key_it_is_sent_again(act: Act, why: str) -> None:
    rules = replace(PATIENT, max_answer_bytes=1000, answer=0.3 if act is hang else 5)
    async with follower(act, rules) as (it, leader):

        async def first_lost(arrival: Arrival) -> None:
            await (act if len(leader.arrived) == 1 else accept)(arrival)

        leader.act = first_lost
        assert await it.send(REPEATABLE) == ACCEPTED
        assert len(leader.arrived) == 2


async def test_with_a_key_it_is_sent_again_where_the_leader_has_lost_the_lead_meanwhile() -> None:
    """It may have refused it for that alone; without a key nobody knows more than its answer says."""
    refused = b'{"data":{"loadModel":{"error":{"code":"JOURNAL_UNAVAILABLE"}}}}'
    async with follower(accept) as (it, former), leading(accept) as next_one:

        async def lose(arrival: Arrival) -> None:
            former.tell = follow
            await arrival.send(200, refused, f"{OUTCOME_HEADER}: EXECUTED", f"{ROLE_HEADER}: follower")

        former.act = lose
        assert await it.send(ONCE) == Answered("EXECUTED", refused)
        former.tell = answering(204)
        asyncio.get_running_loop().call_later(0.05, it.leadership.set, "c", replica("c", next_one.url))
        assert await it.send(REPEATABLE) == ACCEPTED
        assert (len(former.arrived), len(next_one.arrived)) == (2, 1)


async def test_with_a_key_it_is_not_tried_for_ever() -> None:
    async with follower(break_off, PATIENT) as (it, leader):
        with pytest.raises(NoAnswer):
            await it.send(REPEATABLE)
        assert len(leader.arrived) == 2


async def test_a_leader_that_hangs_and_is_replaced_is_not_waited_for_any_longer() -> None:
    rules = replace(PATIENT, answer=60, grace=0.05)
    for mutation in (ONCE, REPEATABLE):
        async with follower(hang, rules) as (it, old), leading(accept) as new:
            sending = asyncio.create_task(it.send(mutation))
            await old.first.wait()
            it.leadership.set("c", replica("c", new.url))
            if mutation.repeatable:
                assert await sending == ACCEPTED
            else:
                with pytest.raises(NoAnswer, match="a did not answer, and no longer leads"):
                    await sending
            assert (len(old.arrived), len(new.arrived)) == (1, int(mutation.repeatable))


async def test_one_that_answers_just_after_it_was_replaced_is_believed() -> None:
    go = asyncio.Event()

    async def late(arrival: Arrival) -> None:
        await go.wait()
        await accept(arrival)

    async with follower(late, QUICK) as (it, leader):
        sending = asyncio.create_task(it.send())
        await leader.first.wait()
        it.leadership.set("b")
        await asyncio.sleep(0.02)
        go.set()
        assert await sending == ACCEPTED


async def test_while_the_database_is_away_for_this_server_alone_the_answer_is_waited_for() -> None:
    go = asyncio.Event()

    async def late(arrival: Arrival) -> None:
        await go.wait()
        await accept(arrival)

    async with follower(late, replace(QUICK, grace=0)) as (it, leader):
        sending = asyncio.create_task(it.send())
        await leader.first.wait()
        it.leadership.set(None)
        await asyncio.sleep(0.02)
        go.set()
        assert await sending == ACCEPTED


async def test_by_https_the_leader_must_have_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    async with leading(accept, server_side) as leader:
        for trusted in (authority, other):
            file = tmp_path / "ca.pem"
            trusted.cert_pem.write_to_path(str(file))
            it = Follower(Directed("b", replica("a", leader.url, leads=True)), QUICK)
            it.forwarding._client._tls = partial(client_context, file)
            async with it.forwarding:
                if trusted is authority:
                    assert await it.send() == ACCEPTED
                else:
                    with pytest.raises(NoLeader, match="Its certificate is not trusted"):
                        await it.send()
            file.unlink()
            it = Follower(Directed("b", replica("a", leader.url, leads=True)), QUICK)
            it.forwarding._client._tls = partial(client_context, file)
            async with it.forwarding:
                with pytest.raises(NoLeader, match="cannot be read"):
                    await it.send()
        assert len(leader.arrived) == 1


async def test_a_server_that_has_lost_its_database_sends_to_the_leader_that_it_knew_last() -> None:
    async with follower(accept) as (it, leader):
        assert await it.send() == ACCEPTED
        it.leadership.set(None)
        assert await it.send() == ACCEPTED
        leader.tell = follow  # it has lost it, too
        with pytest.raises(NoLeader, match="no longer leads"):
            await it.send()
        assert len(leader.arrived) == 2


async def test_a_server_whose_lease_is_over_carries_out_nothing_more_itself() -> None:
    async with follower(accept) as (it, leader):
        it.leadership.set("b")
        assert await it.send() is None
        # It has had no turn yet to rest.
        it.forwarding._role = ActingRole(it.leadership)
        it.leadership.set("a")
        assert await it.send() == ACCEPTED
        assert len(leader.arrived) == 1


# Many at once


async def test_two_hundred_at_once_are_all_answered_over_a_bounded_number_of_connections() -> None:
    async def slow(arrival: Arrival) -> None:
        await asyncio.sleep(0.005)
        await accept(arrival)

    async with follower(slow, DEFAULT_FORWARD_RULES) as (it, leader):
        answers = await asyncio.gather(*(it.send() for _ in range(200)))
        assert answers == [ACCEPTED] * 200
        assert len(leader.arrived) == 200
        assert leader.most_at_once == DEFAULT_FORWARD_RULES.max_connections == 32


async def test_those_beyond_the_limit_are_refused_at_once_and_the_others_go_on() -> None:
    async with follower(hang, replace(QUICK, max_waiting=3, max_connections=1, answer=0.5)) as (it, leader):
        results = await asyncio.gather(*(it.send() for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in results] == [NoAnswer, NoLeader, NoLeader, TooMany, TooMany]
        assert len(leader.arrived) == 1
        assert dict(it.forwarding.ended) == {"unknown": 1, "unreachable": 2, "refused": 2}


async def test_one_that_is_cancelled_leaves_nothing_behind() -> None:
    async with follower(hang, replace(QUICK, answer=60)) as (it, leader):
        sending = asyncio.create_task(it.send())
        await leader.first.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert {task.get_name() for task in asyncio.all_tasks()} & {"mutation to the leader"} == set()


async def test_the_log_says_once_why_mutations_are_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    async with follower(answering(401)) as (it, leader):
        for act in (answering(401), answering(404), answering(404), accept, answering(404)):
            leader.act = act
            await asyncio.gather(it.send(), it.send(), return_exceptions=True)
    assert [line.rsplit(" ", 1)[1] for line in caplog.messages] == ["server.", "404.", "404."]


async def test_the_secret_is_in_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    for name in (None, "httpx", "httpcore"):  # another test may have configured the logs of a server, which mutes them
        caplog.set_level(logging.DEBUG, name)
    for act in (accept, break_off, answering(401)):
        async with follower(act) as (it, _):
            await asyncio.gather(it.send(), return_exceptions=True)
    assert "POST" in caplog.text  # httpx and httpcore do log
    assert SECRET not in caplog.text
