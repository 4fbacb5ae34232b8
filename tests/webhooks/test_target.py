"""A URL and its filter: what is sent, what is not, and what is refused with what to write instead."""

from datetime import UTC, datetime

import httpx
import pytest

from exo_graphql.events.event import Event, EventKind, Severity
from exo_graphql.settings import Settings
from exo_graphql.webhooks.target import MAX_TARGETS, targets


def _event(kind: EventKind, severity: Severity = Severity.INFO) -> Event:
    return Event(id="event-1", sequence=1, at=datetime.now(UTC), kind=kind, severity=severity, message="It is.")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("http://ha.local:8123/api/webhook/exo", "http://ha.local:8123/api/webhook/exo"),
        ("http://ha.local/x?kinds=MODEL_LOST", "http://ha.local/x"),
        ("http://ha.local/x?a=1&kinds=MODEL_LOST&b=2&severity=ERROR", "http://ha.local/x?a=1&b=2"),
        ("http://ha.local/x?b=2&a=%2F%20+&a&=&c=d=e", "http://ha.local/x?b=2&a=%2F%20+&a&=&c=d=e"),
        ("http://ha.local/x?%6Binds=mine&mykinds=1&kinds2=2", "http://ha.local/x?%6Binds=mine&mykinds=1&kinds2=2"),
        ("http://ntfy.local/exo?m={{.data.message}}", "http://ntfy.local/exo?m={{.data.message}}"),
        ("http://user:secret@[::1]:80/x#part", "http://user:secret@[::1]:80/x"),
    ],
)
def test_the_filter_is_not_sent_and_all_else_is_sent_as_it_is(given: str, sent: str) -> None:
    (target,) = targets([given])
    assert target.url == sent
    # And so does the client put it into the request; it only encodes what may not stand in a URL.
    requested = httpx.URL(sent).raw_path.decode()
    assert requested.replace("%7B", "{").replace("%7D", "}") == sent.partition("//")[2].partition("/")[2].join(
        ("/", "")
    )


@pytest.mark.parametrize(
    ("query", "taken"),
    [
        ("", {EventKind.MODEL_LOST, EventKind.NODE_JOINED, EventKind.ELECTION}),
        ("?kinds=MODEL_LOST", {EventKind.MODEL_LOST}),
        ("?kinds=model_lost,%20election", None),
        ("?kinds=model_lost,election", {EventKind.MODEL_LOST, EventKind.ELECTION}),
        ("?kinds=MODEL_LOST%2CELECTION", {EventKind.MODEL_LOST, EventKind.ELECTION}),
        ("?kinds=MODEL_LOST&kinds=ELECTION", {EventKind.MODEL_LOST, EventKind.ELECTION}),
        ("?severity=warning", {EventKind.MODEL_LOST, EventKind.ELECTION}),
        ("?severity=ERROR", {EventKind.MODEL_LOST}),
        ("?severity=ERROR&kinds=ELECTION", set()),
    ],
)
def test_kinds_and_severity_select_events(query: str, taken: set[EventKind] | None) -> None:
    events = [
        _event(EventKind.MODEL_LOST, Severity.ERROR),
        _event(EventKind.NODE_JOINED),
        _event(EventKind.ELECTION, Severity.WARNING),
    ]
    if taken is None:
        with pytest.raises(ValueError, match="no kind of event"):
            targets([f"http://ha.local/{query}"])
        return
    (target,) = targets([f"http://ha.local/{query}"])
    assert {event.kind for event in events if target.takes(event)} == taken


@pytest.mark.parametrize(
    ("urls", "reason"),
    [
        (["http://a/?kinds=MODEL_LOSD"], "'MODEL_LOSD' is no kind of event; write MODEL_LOST"),
        (["http://a/?kinds="], "'' is no kind of event; write NODE_JOINED, NODE_LEFT"),
        (["http://a/?severity=bad"], "'bad' is no severity; write INFO, WARNING, ERROR"),
        (["http://a/x?kinds=MODEL_LOST", "http://a/x?kinds=ELECTION"], "named twice; give all of its kinds in one URL"),
        ([f"http://a/{number}" for number in range(MAX_TARGETS + 1)], "21 webhooks are more than 20"),
        (["ha.local/x"], "must begin with http"),
        (["ftp://ha.local/x"], "must begin with http"),
        (["http:///x"], "names no server"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_the_start(urls: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("?", r"\?")):
        Settings(webhook_url=tuple(urls))


def test_the_variable_separates_urls_and_kinds_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = "http://a/x?kinds=MODEL_LOST,ELECTION", "https://b/y?z=1,2"
    monkeypatch.setenv("EXO_GRAPHQL_WEBHOOK_URL", f"{one},{other}")
    assert Settings().webhook_url == (one, other)
    monkeypatch.setenv("EXO_GRAPHQL_WEBHOOK_URL", f"\n{one}\n{other}\n")
    assert Settings().webhook_url == (one, other)


def test_a_name_shows_no_secret_and_is_unique() -> None:
    urls = ["https://user:pw@hooks.example/T0/secret", "https://hooks.example/T1/secret?token=x", "http://[::1]:9/a"]
    assert [target.name for target in targets(urls)] == ["hooks.example", "hooks.example #2", "[::1]:9"]
