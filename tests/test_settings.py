"""Settings: one table, read from flags, then variables, then defaults."""

import re
from importlib import import_module
from itertools import groupby
from pathlib import Path
from socket import gethostname
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from exo_graphql.app import build
from exo_graphql.cluster.rules import DEFAULT_RULES, Rules
from exo_graphql.engine.limits import DEFAULT_LIMITS, Limits
from exo_graphql.exo.pacing import PollerRules
from exo_graphql.operations.rules import DEFAULT_OPERATION_RULES, OperationRules
from exo_graphql.removed_settings import REMOVED
from exo_graphql.settings import Settings, SettingsError, group_of
from tests.support.tuning import tuned


def settings(**flags: Any) -> Settings:
    """As `serve` makes them."""
    return Settings(**flags)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"EXO_GRAPHQL_{name.upper()}", raising=False)


def test_the_defaults() -> None:
    read = settings()
    assert (read.exo_url, read.host, read.port, read.demo) == ((), "127.0.0.1", 52416, False)
    assert read.state_dir.name == "exo-graphql"


def test_a_default_is_defined_once_by_the_rule_that_uses_it() -> None:
    read = settings()
    assert read.unseen_after == DEFAULT_RULES.unseen_after == 10.0
    assert (read.max_cost, read.max_live_cost) == (DEFAULT_LIMITS.max_cost, DEFAULT_LIMITS.max_live_cost)
    assert read.stall_seconds == DEFAULT_OPERATION_RULES.stall_seconds == 600.0
    assert read.max_operations == DEFAULT_OPERATION_RULES.max_running == 20
    assert DEFAULT_OPERATION_RULES.give_up_seconds == DEFAULT_RULES.give_up_after == 30.0


def test_without_settings_the_server_is_built_by_the_constants(tmp_path: Path) -> None:
    components = build(settings(state_dir=tmp_path))
    assert components.poller.rules == PollerRules()
    assert components.poller._readiness == Rules()
    assert components.operations.rules == OperationRules()
    assert components.service._limits == Limits()


def test_settings_and_other_constants_reach_what_uses_them(tmp_path: Path) -> None:
    chosen = settings(state_dir=tmp_path, unseen_after=11, stall_seconds=12, max_operations=13, max_cost=140)
    components = build(chosen, tuning=tuned(lost_after=3.0, empty_grace=4.0, memory_seconds=5.0, max_depth=6))
    assert components.poller.rules == PollerRules(lost_after=3.0)
    assert components.poller._readiness == Rules(unseen_after=11, empty_grace=4.0)
    assert components.operations.rules == OperationRules(stall_seconds=12, max_running=13, memory_seconds=5.0)
    assert components.service._limits == Limits(max_cost=140, max_depth=6)


def test_what_few_people_set_is_no_setting() -> None:
    assert len(Settings.model_fields) <= 41


def test_every_setting_belongs_to_a_group_and_groups_are_not_interleaved() -> None:
    groups = [group_of(field) for field in Settings.model_fields.values()]
    assert len([group for group, _ in groupby(groups)]) == len(set(groups)) < 10


EARLIER = """
exo_url ca_file host port root_path state_dir demo demo_speed fault tokens tokens_file no_auth read_only
allowed_host allowed_origin log_format log_level max_age rest_pause rest_share quick_pause quick_share
idle_pause read_timeout lost_after command_timeout unseen_after still_after give_up_after empty_grace
stall_seconds memory_seconds max_operations cache compiled introspection max_document_characters max_tokens
max_depth max_fields max_pairs max_aliases max_directives max_definitions max_list_items max_variables_bytes
max_errors max_cost max_wish_cost max_wishes max_live_cost max_waiting_cost max_connections max_subscriptions
max_message_bytes header_timeout max_body_bytes body_timeout init_timeout keep_alive send_timeout max_rate
max_waiting
"""
"""All settings that there were before 36 of them became constants."""


@pytest.mark.parametrize("name", EARLIER.split())
def test_every_setting_of_an_earlier_version_is_still_accepted(name: str) -> None:
    assert name in Settings.model_fields or name in REMOVED


@pytest.mark.parametrize("name", REMOVED)
def test_a_removed_setting_is_not_one_any_more_and_says_what_to_do_or_where_its_value_is(name: str) -> None:
    assert name not in Settings.model_fields
    fixed = re.search(r"see (?:(\w+)\.)?(\w+) in (exo_graphql/[a-z/_]+\.py)", REMOVED[name])
    if fixed is None:
        return
    rules, constant, path = fixed.groups()
    module = import_module(path.removesuffix(".py").replace("/", "."))
    assert isinstance(getattr(getattr(module, rules)() if rules else module, constant), int | float)


def test_a_variable_wins_over_a_default_and_a_flag_over_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXO_GRAPHQL_PORT", "4000")
    monkeypatch.setenv("EXO_GRAPHQL_STATE_DIR", "/var/lib/journal")
    assert (settings().port, settings().state_dir) == (4000, Path("/var/lib/journal"))
    assert settings(port=5000).port == 5000


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("http://a:52415", ("http://a:52415",)),
        ("http://a:52415, http://b:52415", ("http://a:52415", "http://b:52415")),
        (" ,http://a,", ("http://a",)),
        ("", ()),
    ],
)
def test_urls_in_a_variable_are_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, text: str, urls: tuple[str, ...]
) -> None:
    monkeypatch.setenv("EXO_GRAPHQL_EXO_URL", text)
    assert settings().exo_url == urls


def test_urls_in_flags_are_a_list() -> None:
    assert settings(exo_url=("http://a", "http://b")).exo_url == ("http://a", "http://b")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exo_url", "127.0.0.1:52415"),
        ("exo_url", "http://a,b"),
        ("port", "70000"),
        ("port", "-1"),
        ("demo_speed", "0"),
        ("unseen_after", "1.9"),
        ("stall_seconds", "0"),
        ("max_cost", "99"),
        ("max_operations", "0"),
        ("demo", "perhaps"),
    ],
)
def test_an_invalid_value_is_rejected_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"EXO_GRAPHQL_{name.upper()}", value)
    with pytest.raises(ValidationError) as refused:
        settings()
    assert [error["loc"] for error in refused.value.errors()] == [(name,)]


def test_a_line_break_after_a_token_is_not_a_part_of_it() -> None:
    assert settings(exo_token=SecretStr("secret\n")).exo_token.get_secret_value() == "secret"


REFUSED = (
    ("exo_url", "127.0.0.1:52415", "write http://127.0.0.1:52415"),
    ("exo_url", "http://", "write it as http://127.0.0.1:52415"),
    ("exo_url", "http://[::1", "http://[::1]:52415"),
    ("exo_url", "http://studio:port", "write it as http://127.0.0.1:52415"),
    ("exo_url", "http://studio:0", "write it as http://127.0.0.1:52415"),
    ("exo_url", "http://studio:70000", "write it as http://127.0.0.1:52415"),
    ("exo_url", "http://my studio", "write it as http://127.0.0.1:52415"),
    ("exo_url", "http://studio:52415/?x=1", "write http://studio:52415/"),
    ("exo_url", "http://studio:52415?", "write http://studio:52415"),
    ("exo_url", "http://studio:52415#top", "write http://studio:52415"),
    ("exo_url", "http://a,http://b/?x", "write http://b/"),
    ("exo_url", "http://me:secret@b/?x", "http://b/?x has a query or a fragment; write http://b/"),
    ("allowed_origin", "tools.example", "write https://tools.example"),
    ("allowed_origin", "localhost:3000", "write https://localhost:3000"),
    ("allowed_origin", "*", "write https://tools.example"),
    ("allowed_origin", "null", "write https://tools.example"),
    ("allowed_origin", "//tools.example", "write https://tools.example"),
    ("allowed_origin", "https://", "https://tools.example"),
    ("allowed_origin", "https://[::1", "https://tools.example"),
    ("allowed_origin", "https://tools.example/page", "write https://tools.example"),
    ("allowed_origin", "https://me@tools.example", "write https://tools.example"),
    ("allowed_host", "https://tools.example", "write tools.example"),
    ("allowed_host", "tools.example/exo", "write tools.example"),
    ("allowed_host", "*", "write tools.example"),
    ("advertise_url", "mini-1:52416", "write http://mini-1:52416"),
    ("advertise_url", "http://mini-1:52416?", "write http://mini-1:52416"),
    ("advertise_url", "https://me:secret@mini-1/exo", "write https://mini-1"),
    ("exo_token", "two words", "printable ASCII"),
    ("exo_token", "clé", "printable ASCII"),
    ("exo_token", "one\ntwo", "printable ASCII"),
    ("root_path", "exo", "write /exo"),
    ("root_path", "https://tools.example/exo", "write /exo"),
    ("root_path", "/", "write /exo"),
)


@pytest.mark.parametrize(("name", "value", "advice"), REFUSED)
def test_what_would_never_work_is_refused_with_what_to_write(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, advice: str
) -> None:
    monkeypatch.setenv(f"EXO_GRAPHQL_{name.upper()}", value)
    with pytest.raises(ValidationError) as refused:
        settings()
    (error,) = refused.value.errors()
    assert error["loc"] == (name,)
    assert advice in error["msg"]


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("exo_url", "http://[::1]:52415,https://me:secret@studio/exo", None),
        ("allowed_origin", "https://tools.example,http://localhost:3000/,tauri://localhost,http://[::1]:3000", None),
        ("allowed_host", "tools.example,Studio.Local:443,192.0.2.1,::1", "tools.example,Studio.Local,192.0.2.1,::1"),
        ("root_path", "/tools/exo/", "/tools/exo/"),
        ("host", "[::1]", "::1"),
    ],
)
def test_what_works_is_accepted(monkeypatch: pytest.MonkeyPatch, name: str, value: str, read: str | None) -> None:
    monkeypatch.setenv(f"EXO_GRAPHQL_{name.upper()}", value)
    given = getattr(settings(), name)
    assert (given if isinstance(given, str) else ",".join(given)) == (read or value)


@pytest.mark.parametrize(("unseen_after", "idle_pause"), [(10.0, 5.0), (20.0, 5.0), (4.0, 2.0), (2.0, 1.0)])
def test_no_node_becomes_stale_between_two_reads(tmp_path: Path, unseen_after: float, idle_pause: float) -> None:
    components = build(settings(state_dir=tmp_path, unseen_after=unseen_after))
    assert components.poller.rules == PollerRules(idle_pause=idle_pause)


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Settings.model_validate({"prot": 1})


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXO_GRAPHQL_PORT", "")
    assert settings().port == 52416


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described_in_a_sentence(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description
    assert description.endswith(".")


def test_settings_do_not_change() -> None:
    read = settings()
    with pytest.raises(ValidationError, match="frozen"):
        read.port = 1


def test_a_fault_without_the_demo_is_refused_because_it_would_never_come() -> None:
    with pytest.raises(SettingsError, match="Give --demo as well"):
        build(Settings.model_validate({"fault": ["hang"]}))


def test_a_demo_and_an_exo_exclude_each_other() -> None:
    with pytest.raises(SettingsError, match="one of the two"):
        build(Settings.model_validate({"demo": True, "exo_url": ["http://127.0.0.1:1"]}))


@pytest.mark.parametrize(("lease", "renew"), [(6, 3), (6, 7), (0.5, 0.25)])
def test_a_lease_outlasts_a_renewal_that_fails(lease: float, renew: float, tmp_path: Path) -> None:
    given = settings(database_url="postgresql://db/exo", lease_seconds=lease, renew_seconds=renew, state_dir=tmp_path)
    with pytest.raises(SettingsError, match=f"less than half of --lease-seconds, {lease:g}") as refused:
        build(given)
    assert refused.value.setting == "renew_seconds"


@pytest.mark.parametrize(
    ("flags", "url"),
    [
        ({"port": 52416}, "http://127.0.0.1:52416"),
        ({"host": "mini-1", "port": 80}, "http://mini-1:80"),
        ({"host": "fd00::1"}, "http://[fd00::1]:52416"),
        ({"host": "0.0.0.0"}, f"http://{gethostname()}:52416"),
        ({"host": "::"}, f"http://{gethostname()}:52416"),
        ({"host": "0.0.0.0", "advertise_url": "https://mini-1.example/exo/"}, "https://mini-1.example/exo"),
        ({"port": 0}, None),
    ],
)
def test_other_servers_learn_where_this_one_is_reached(
    flags: dict[str, Any], url: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = settings(database_url="postgresql://db/exo", no_auth=True, state_dir=tmp_path, **flags)
    own = build(given).store.leadership.own
    assert own.url == url
    assert own.name == f"{gethostname()}:{given.port}"
    assert ("cannot pass mutations on to this one" in caplog.text) is (url is None)


def test_a_namespace_has_a_name(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="namespace"):
        settings(database_url="postgresql://db/exo", namespace="", state_dir=tmp_path)
