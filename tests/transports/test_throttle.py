"""Wrong tokens: a few tries from one address, then one at a time. Who has sent a right one is not slowed down."""

import httpx
import pytest

from exo_graphql.transports import throttle
from exo_graphql.transports.auth import Access, TooManyFailures, Unauthorized, parse_tokens
from exo_graphql.transports.throttle import SECONDS_FOR_A_TRY, TRIES, FailedTokens
from tests.support.running import running

pytestmark = pytest.mark.anyio

RIGHT = "Bearer right-secret"


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def access(clock: _Clock) -> Access:
    return Access(parse_tokens("operate:right-secret, read:other-secret"), clock)


def _guess(access: Access, address: str | None, times: int) -> int:
    """How many of so many wrong tokens are looked at."""
    looked_at = 0
    for number in range(times):
        try:
            access.caller(f"Bearer wrong-{number}", address)
        except Unauthorized:
            looked_at += 1
        except TooManyFailures:
            pass
    return looked_at


def test_of_many_guesses_few_are_looked_at_and_the_right_one_among_them_is_not_known(
    access: Access, clock: _Clock
) -> None:
    assert _guess(access, "192.0.2.1", 1000) == TRIES
    with pytest.raises(TooManyFailures) as refused:
        access.caller(RIGHT, "192.0.2.1")
    assert refused.value.retry_after == SECONDS_FOR_A_TRY
    assert refused.value.extensions
    assert refused.value.extensions["code"] == "TOO_MANY_FAILED_TOKENS"
    clock.now += 3 * SECONDS_FOR_A_TRY
    assert _guess(access, "192.0.2.1", 1000) == 3
    clock.now += SECONDS_FOR_A_TRY
    access.caller(RIGHT, "192.0.2.1")


def test_another_address_is_looked_at(access: Access) -> None:
    _guess(access, "192.0.2.1", 1000)
    access.caller(RIGHT, "192.0.2.2")


def test_who_was_let_in_from_that_address_before_still_is(access: Access) -> None:
    access.caller(RIGHT, "127.0.0.1")
    assert _guess(access, "127.0.0.1", 1000) == TRIES
    access.caller(RIGHT, "127.0.0.1")
    with pytest.raises(TooManyFailures):
        access.caller("Bearer other-secret", "127.0.0.1")


def test_what_shows_no_token_is_no_guess(access: Access) -> None:
    for _ in range(1000):
        with pytest.raises(Unauthorized):
            access.caller(None, "192.0.2.1")
    access.caller(RIGHT, "192.0.2.1")


@pytest.mark.parametrize("other", ["2001:db8::2", "2001:db8:0:0:ffff::1"])
def test_a_machine_has_one_network_of_ipv6_and_not_many_addresses(access: Access, other: str) -> None:
    _guess(access, "2001:db8::1", 100)
    with pytest.raises(TooManyFailures):
        access.caller(RIGHT, other)
    access.caller(RIGHT, "2001:db8:0:1::1")


def test_an_ipv4_address_is_the_same_however_it_is_written(access: Access) -> None:
    _guess(access, "::ffff:192.0.2.1", 100)
    with pytest.raises(TooManyFailures):
        access.caller(RIGHT, "192.0.2.1")
    access.caller(RIGHT, "::ffff:192.0.2.2")


def test_what_is_remembered_is_bounded(clock: _Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "_MAX_KEPT", 10)
    failed = FailedTokens(clock)
    for number in range(100):
        failed.failed(f"192.0.2.{number}")
        failed.passed(f"192.0.2.{number}", b"digest")
    assert (len(failed._tries), len(failed._accepted)) == (10, 10)


async def test_every_way_in_is_slowed_down_and_says_when_to_come_again() -> None:
    async with running(tokens="operate:right-secret") as server, httpx.AsyncClient(trust_env=False) as client:
        # A proxy on this machine says who speaks.
        guessing = {"x-forwarded-for": "203.0.113.9"}
        for number in range(TRIES):
            headers = guessing | {"authorization": f"Bearer wrong-{number}"}
            assert (await client.get(server.url, params={"query": "{ x }"}, headers=headers)).status_code == 401
        headers = guessing | {"authorization": RIGHT}
        for answer in (
            await client.post(server.url, json={"query": "{ cluster { nodeCount } }"}, headers=headers),
            await client.get(server.url.replace("graphql", "metrics"), headers=headers),
        ):
            assert answer.status_code == 429
            assert answer.headers["retry-after"] in ("1", "2")
            assert answer.json()["errors"][0]["extensions"]["code"] == "TOO_MANY_FAILED_TOKENS"
        async with server.bare(additional_headers=headers) as connection:
            await connection.send('{"type":"connection_init"}')
            await connection.wait_closed()
            assert connection.close_code == 4403
            assert "Too many wrong tokens" in (connection.close_reason or "")
        bystander = await client.get(
            server.url, params={"query": "{ cluster { nodeCount } }"}, headers={"authorization": RIGHT}
        )
        assert bystander.status_code == 200
