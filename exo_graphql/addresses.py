"""Checks of the addresses in settings. Each function returns the address as it is used.

Each raises `ValueError`, whose message names the address, without any password in it, and says what to write instead.
"""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

# A host name, perhaps with a port, which is ignored.
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)


def exo_url(url: str, default: str) -> str:
    """The URL of an exo node; `default` is the example of one."""
    shown = _without_password(url)
    parts = _split_url(shown, default)
    if parts.query or parts.fragment or shown.endswith(("?", "#")):
        raise ValueError(f"{shown} has a query or a fragment; write {shown.split('?')[0].split('#')[0]}")
    return url


def webhook_url(url: str) -> str:
    """The URL of a receiver of events."""
    _split_url(_without_password(url), "http://homeassistant.local:8123/api/webhook/exo")
    return url


def database_url(url: str) -> str:
    """The URL of a PostgreSQL database; none is allowed."""
    if url and not url.startswith(("postgresql://", "postgres://")):
        scheme = url.partition("://")[0] if "://" in url else "nothing"
        raise ValueError(f"it begins with {scheme[:20]}; write postgresql://USER:PASSWORD@HOST/NAME")
    return url


def advertised_url(url: str) -> str:
    """Where other servers reach this one; none is allowed."""
    if url:
        parts = _split_url(url, "http://mini-1:52416")
        if parts.query or parts.fragment or parts.username or url.endswith(("?", "#")):
            raise ValueError(f"it is more than an address; write {parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    return url.rstrip("/")


def origin(text: str) -> str:
    """The origin of a page, such as https://tools.example."""
    scheme, separator, _ = text.partition("://")
    if not separator or not scheme:
        named = _NAME.fullmatch(text) and (text.lower().startswith("localhost") or "." in text)
        example = text if named else "tools.example"
        raise ValueError(f"{text} is not an origin, because it has no scheme; write https://{example}")
    parts = _split_url(text, "https://tools.example", schemes=())
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{text} is more than an origin; write {scheme}://{parts.netloc.rpartition('@')[2]}")
    return text


def host_name(text: str) -> str:
    """A host name or an IP address, without a port."""
    if _is_address(text):
        return text
    if not _NAME.fullmatch(text):
        found = _NAME.search(text.partition("://")[2] or text)
        raise ValueError(f"{text} is not a host name; write {found[0] if found else 'tools.example'}")
    return text.partition(":")[0]


def root_path(path: str) -> str:
    """The path of a URL, such as /exo; none is allowed."""
    if path and not re.fullmatch(r"(/[^/?#\s]+)+/?", path):
        below = path.partition("://")[2].partition("/")[2] if "://" in path else path
        raise ValueError(f"{path} is not a path; write /{below.strip('/') or 'exo'}")
    return path


def _without_password(url: str) -> str:
    return re.sub(r"(?<=://)[^/?#]*@", "", url)


def _is_address(host: str) -> bool:
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _split_url(url: str, example: str, schemes: tuple[str, ...] = ("http", "https")) -> SplitResult:
    """Splits the URL of a server."""
    if schemes and not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        with_scheme = f"http://{url}" if _NAME.fullmatch(url) else example
        raise ValueError(f"{url} must begin with http:// or https://; write {with_scheme}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        # For example http://[::1 (bracket not closed) or http://mini:abc (port not a number).
        raise ValueError(f"{url} is not a URL ({error}); write it as {example} or http://[::1]:52415") from error
    if not parts.hostname or port == 0 or any(character.isspace() for character in url):
        raise ValueError(f"{url} names no server; write it as {example}")
    return parts
