"""The GraphQL operations that the command line sends and GraphiQL shows as examples, one a file.

`load_model.graphql` holds the operation `LoadModel`. What several operations select is written once, as a fragment in
`fragments/`: `error_details.graphql` holds `ErrorDetails`. `document(name)` composes the two, so what is sent or shown
is valid by itself. `exo-graphql documents NAME` prints it.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
FRAGMENTS = FOLDER / "fragments"

# `...ErrorDetails`, but not the inline fragment `... on ModelNotFound`, which has a space.
_SPREAD = re.compile(r"\.\.\.(\w+)")
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Document:
    """A GraphQL document, with its fragments. `name` is the file's, without its ending."""

    name: str
    text: str


@cache
def document(name: str) -> Document:
    """The document of that name. Raises `FileNotFoundError` where there is none."""
    return Document(name, compose((FOLDER / f"{name}.graphql").read_text(encoding="utf-8")))


def document_names(folder: str = "") -> list[str]:
    """The names of all documents, sorted; or of those in a folder of this one, as `mcp/plan`."""
    return sorted(f"{folder}/{file.stem}".lstrip("/") for file in (FOLDER / folder).glob("*.graphql"))


def compose(text: str) -> str:
    """The operation `text`, followed by each fragment of `fragments/` that it uses, once.

    A fragment may use others: `FollowOperation` uses `OperationDetails`, which uses `ErrorDetails`.
    """
    parts, used = [text], set[str]()
    # The list grows while it is read: the fragments of a fragment are found when its turn comes.
    for part in parts:
        for name in _SPREAD.findall(part):
            file = FRAGMENTS / f"{_WORD_START.sub('_', name).lower()}.graphql"
            if name not in used and file.is_file():
                used.add(name)
                parts.append(file.read_text(encoding="utf-8"))
    return "\n".join(parts)
