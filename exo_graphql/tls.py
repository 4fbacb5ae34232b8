"""TLS as a client: which certificate authorities are trusted, and why a connection failed."""

import os
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import httpx

T = TypeVar("T")


class NoCertificates(ValueError):
    """A file that should hold certificates cannot be read, or holds none. The message may be shown to a user."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        """The setting or variable that names the file."""
        self.message = message


def client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Trusts the usual authorities, or those of SSL_CERT_FILE or SSL_CERT_DIR, and those in `ca_file` (PEM) as well.

    Raises `NoCertificates`.
    """
    context = _loaded("SSL_CERT_FILE", Path(os.environ.get("SSL_CERT_FILE", "")), httpx.create_ssl_context)
    if ca_file is not None:
        _loaded("ca_file", ca_file, partial(context.load_verify_locations, cafile=ca_file))
    return context


def _loaded(name: str, path: Path, load: Callable[[], T]) -> T:
    try:
        return load()
    except ssl.SSLError as error:
        raise NoCertificates(name, f"{path} contains no certificate in PEM format.") from error
    except OSError as error:
        raise NoCertificates(name, f"{path} cannot be read: {error.strerror}.") from error


def why_not(error: BaseException | None) -> str | None:
    """Why TLS failed, as a sentence about the server's certificate or protocol; None if TLS was not the cause."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"Its certificate is not trusted: {error.verify_message.rstrip('.')}."
        if isinstance(error, ssl.SSLError):
            reason = (error.reason or "unknown").replace("_", " ").lower()
            return f"The TLS handshake failed ({reason}); if the server speaks plain HTTP, use an http:// URL."
        error = error.__cause__ or error.__context__
    return None
