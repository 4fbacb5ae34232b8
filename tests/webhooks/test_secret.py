"""The secret: made once, readable by its owner alone, and what is none is refused without being shown."""

import stat
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from exo_graphql.webhooks.secret import new_secret, parse_secrets, stored_secret


def test_it_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "state"
    made = stored_secret(directory)
    assert stored_secret(directory) == made
    Webhook(made)  # raises where the library does not take it
    (file,) = directory.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_two_are_never_the_same() -> None:
    assert new_secret() != new_secret()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("secret-and-more-than-24-bytes", "secret 1 does not begin with whsec_"),
        ("whsec_!!!", "secret 1 is no base64"),
        ("whsec_c2hvcnQ=", "secret 1 has 5 bytes"),
        (f"whsec_{'QUJD' * 10},whsec_c2hvcnQ=", "secret 2 has 5 bytes"),
    ],
)
def test_what_is_no_secret_is_refused_and_not_shown(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_secrets(text)
    assert text.rpartition("_")[2] not in str(caught.value)


def test_several_are_separated_by_commas_or_lines() -> None:
    one, other = new_secret(), new_secret()
    assert parse_secrets(f" {one}, {other}\n") == (one, other)
    assert parse_secrets("") == ()


def test_a_file_that_holds_no_secret_is_named(tmp_path: Path) -> None:
    (tmp_path / "webhook-secret").write_text("\n")
    with pytest.raises(ValueError, match="webhook-secret does not begin with whsec_"):
        stored_secret(tmp_path)
