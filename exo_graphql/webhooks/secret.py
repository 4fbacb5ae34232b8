"""The secrets that webhooks are signed with, as Standard Webhooks writes them: `whsec_` and base64."""

import base64
import binascii
import os
import secrets
from pathlib import Path

_PREFIX = "whsec_"
_FILE = "webhook-secret"
# The specification's limits, in bytes.
_LEAST, _MOST = 24, 64


def parse_secrets(text: str) -> tuple[str, ...]:
    """The secrets in a setting, separated by commas or lines. Raises ValueError, which shows none of them."""
    found = tuple(part.strip() for part in text.replace("\n", ",").split(",") if part.strip())
    for number, each in enumerate(found, 1):
        _check(each, f"secret {number}")
    return found


def stored_secret(state_dir: Path) -> str:
    """The secret in the state directory; made there, readable by its owner alone, where there is none.

    Raises OSError, and ValueError where the file holds none.
    """
    path = state_dir / _FILE
    if not path.exists():
        state_dir.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f"{_FILE}.{os.getpid()}")
        made.unlink(missing_ok=True)
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{new_secret()}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(made, path)  # unlike a rename, it leaves what another process has made meanwhile
        except FileExistsError:
            pass
        finally:
            made.unlink()
    secret = path.read_text(encoding="utf-8").strip()
    _check(secret, str(path))
    return secret


def new_secret() -> str:
    """A new one."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def _check(secret: str, what: str) -> None:
    advice = (
        f"write {_PREFIX} and the base64 of {_LEAST} to {_MOST} random bytes, such as `openssl rand -base64 32` prints"
    )
    if not secret.startswith(_PREFIX):
        raise ValueError(f"{what} does not begin with {_PREFIX}; {advice}")
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"{what} is no base64 after {_PREFIX}; {advice}") from error
    if not _LEAST <= len(key) <= _MOST:
        raise ValueError(f"{what} has {len(key)} bytes; {advice}")
