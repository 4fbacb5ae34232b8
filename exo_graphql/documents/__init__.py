"""GraphQL documents, one named operation a file: the command line sends them, the pages show them as examples."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Document:
    """A GraphQL document. `name` is the file's, without its ending."""

    name: str
    text: str


@cache
def document(name: str) -> Document:
    """The document of that name."""
    return Document(name, (FOLDER / f"{name}.graphql").read_text(encoding="utf-8"))
