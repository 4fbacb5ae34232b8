"""Ids in the paths of exo's API: no id may lead to another route."""

from urllib.parse import quote

from exo_graphql.cluster.upstream import Refused


def segment(id_: str) -> str:
    """An id as one segment of a path. Raises `Refused` for an id that exo would read as several segments, or as none.

    Ids come from exo's state, so anyone who can write there chooses them. A slash is refused even encoded: exo decodes
    a path before it takes it apart.
    """
    if not id_ or "/" in id_:
        raise Refused(f"exo's API cannot address {id_[:80]!r}: it is not an id.")
    return _encoded(id_)


def rest_of_path(id_: str) -> str:
    """A model id as the end of a path, which exo takes whole, slashes included.

    `../../instance/i1` as the name of a model would otherwise lead to another route, and delete a running instance.
    """
    segments = id_.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        return segment(id_) if "/" not in id_ else _encoded(id_)
    return "/".join(map(_encoded, segments))


def _encoded(text: str) -> str:
    """Every byte that means something in a path, dots too: `quote` leaves them, and to `httpx` two are the way up."""
    return quote(text, safe="").replace(".", "%2E")
