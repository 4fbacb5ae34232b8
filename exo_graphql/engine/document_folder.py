"""The operator's directory of documents, read and validated when the server starts (`--documents`)."""

from collections.abc import Collection
from pathlib import Path

from exo_graphql.documents import compose
from exo_graphql.engine.documents import Documents


class InvalidDocument(ValueError):
    """A directory that cannot be read, or a document that cannot be used; the message says which and why."""


def read_documents(folder: Path, documents: Documents, taken: Collection[str]) -> dict[str, str]:
    """The documents of a directory by their names. They may use the fragments of this package.

    `taken`: the names that they must not have. Raises `InvalidDocument`.
    """
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix == ".graphql")
        texts = {file.stem: compose(file.read_text(encoding="utf-8")) for file in files}
    except (OSError, UnicodeDecodeError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else "a file is not UTF-8"
        raise InvalidDocument(f"{folder} cannot be read: {reason}.") from failure
    for name, text in texts.items():
        if name in taken:
            raise InvalidDocument(f"{name}.graphql has the name of a document of this package: rename it.")
        for error in documents.read(text).errors:
            line = f", line {error.locations[0].line}" if error.locations else ""
            raise InvalidDocument(f"{name}.graphql{line}: {error.message}")
    return texts
