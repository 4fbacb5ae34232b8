"""What to check where a URL of exo does not answer."""

from exo_graphql.cluster.upstream import Misconfigured
from exo_graphql.exo.client import Erring, NotSent, TooSlow

_SUGGESTIONS: tuple[tuple[type[Exception], str], ...] = (
    (
        Misconfigured,
        "Check the certificate and the scheme of the URL; --ca-file or SSL_CERT_FILE names a private authority.",
    ),
    (NotSent, "Check that exo runs on that machine, that the host and port are right, and that no firewall blocks it."),
    (TooSlow, "Check that the machine is on and not overloaded, and whether exo hangs: restart it there if it does."),
    (Erring, "Check the port of the URL (exo's API listens on 52415), and the log of exo on that machine."),
)


def suggestion(error: Exception) -> str:
    """What to check after `error`, in a sentence."""
    found = (text for kind, text in _SUGGESTIONS if isinstance(error, kind))
    return next(found, "Check that exo's API listens at this URL, and the log of exo on that machine.")
