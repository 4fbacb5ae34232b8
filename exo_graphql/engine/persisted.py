"""Persisted documents: texts that clients send by an id instead of themselves.

There are two kinds. *Known* ones are the package's own and those of the operator's directory: their ids are their names
and their SHA-256. *Registered* ones are those of Apollo's automatic persisted queries: a client sends a hash, learns
that it is not known, and sends the text with the hash once. With `trusted_only`, known ones alone are executed.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from hashlib import sha256

from exo_graphql.engine.requests import GraphQLRequest
from exo_graphql.schema.errors import NamedError, shorten

# Texts of clients that are kept: programs send a few dozen each, and one that is dropped is sent again.
MAX_REGISTERED = 1_000
# Characters of all of them together.
MAX_REGISTERED_CHARACTERS = 1_000_000
# The prefix that the specification of GraphQL over HTTP, appendix A, reserves for hashes.
_PREFIX = "sha256:"
_HASH = re.compile(r"[0-9a-f]{64}")


class DocumentNotFound(NamedError):
    """No persisted document has the id that a request names."""


class DocumentNotTrusted(NamedError):
    """Only known documents are executed, and this is none."""


class PersistedQueryNotFound(NamedError):
    """The hash is not registered. Clients know this message and code, and send the text then."""

    def __init__(self) -> None:
        super().__init__(
            "PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound", "Send the query once, together with its hash."
        )


class WrongHash(NamedError):
    """The hash is not that of the text that came with it."""

    def __init__(self) -> None:
        super().__init__(
            "PERSISTED_QUERY_HASH_MISMATCH",
            "The sha256Hash is not the one of the query.",
            "Send the SHA-256 of the query's UTF-8 bytes, as 64 lower-case hexadecimal digits.",
        )


def hash_of(text: str) -> str:
    """The id of a text."""
    return sha256(text.encode()).hexdigest()


class PersistedDocuments:
    """The texts by their ids."""

    def __init__(
        self,
        named: Callable[[], Mapping[str, str]] = dict,
        unnamed: Callable[[], Mapping[str, str]] = dict,
        *,
        trusted_only: bool = False,
    ) -> None:
        """`named`: known texts by name; `unnamed`: those that are trusted as well, but known by their hash alone (those
        of the pages and of MCP's tools). Both are called when an id is first looked up: reading files takes
        milliseconds.
        """
        self._read_named = named
        self._read_unnamed = unnamed
        self.trusted_only = trusted_only
        """Whether no other documents are executed."""
        self._registered: OrderedDict[str, str] = OrderedDict()
        self._characters = 0

    @cached_property
    def names(self) -> Mapping[str, str]:
        """The known texts by name."""
        return self._read_named()

    @cached_property
    def _hashes(self) -> Mapping[str, str]:
        return {hash_of(text): text for text in (*self.names.values(), *self._read_unnamed().values())}

    def resolve(self, request: GraphQLRequest) -> GraphQLRequest:
        """The request with its text.

        Raises `DocumentNotFound`, `DocumentNotTrusted`, `PersistedQueryNotFound` and `WrongHash`.
        """
        if request.document_id is not None:
            return replace(request, query=self._by_id(request.document_id))
        if request.query is None:
            known = self._by_hash(request.sha256 or "")
            if known is None:
                raise self._not_trusted() if self.trusted_only else PersistedQueryNotFound()
            return replace(request, query=known)
        if request.sha256 is not None and hash_of(request.query) != request.sha256:
            raise WrongHash
        if self.trusted_only and not request.own and hash_of(request.query) not in self._hashes:
            raise self._not_trusted()
        return request

    def register(self, request: GraphQLRequest) -> None:
        """Keeps the text of a valid request that came with its hash."""
        text, key = request.query, request.sha256
        if text is None or key is None or self.trusted_only or key in self._hashes:
            return
        if key in self._registered:
            self._registered.move_to_end(key)
            return
        self._registered[key] = text
        self._characters += len(text)
        while len(self._registered) > MAX_REGISTERED or self._characters > MAX_REGISTERED_CHARACTERS:
            _, oldest = self._registered.popitem(last=False)
            self._characters -= len(oldest)

    def _by_id(self, given: str) -> str:
        text = self.names.get(given) or self._by_hash(given.removeprefix(_PREFIX))
        if text is None:
            raise DocumentNotFound(
                "DOCUMENT_NOT_FOUND",
                f"No document has the id {shorten(given)!r}.",
                "Use one of the names in extensions.available, or the SHA-256 of a document's text.",
                available=sorted(self.names),
            )
        return text

    def _by_hash(self, key: str) -> str | None:
        if not _HASH.fullmatch(key):
            return None
        known = self._hashes.get(key)
        if known is None and not self.trusted_only:
            known = self._registered.get(key)
            if known is not None:
                self._registered.move_to_end(key)
        return known

    def _not_trusted(self) -> DocumentNotTrusted:
        return DocumentNotTrusted(
            "DOCUMENT_NOT_TRUSTED",
            "This server executes trusted documents only, and this is none of them.",
            "Send one of the documents in extensions.available: GET or POST /graphql/NAME with its variables.",
            available=sorted(self.names),
        )
