"""Texts for clients that have only HTTP: `/schema.graphql`, the contract, and `/llms.txt`, how to use it.

`/llms.txt` is open to everyone, as the pages are: it holds nothing of the cluster. The schema needs a token where
GraphQL does, since introspection needs one, too.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from graphql import GraphQLSchema

from exo_graphql.engine.execution import refusal
from exo_graphql.engine.requests import BadRequest
from exo_graphql.schema.build import print_compact, print_sorted
from exo_graphql.schema.errors import IntrospectionDisabledError
from exo_graphql.transports.asgi import address_of, respond
from exo_graphql.transports.auth import Access, TooManyFailures, Unauthorized
from exo_graphql.transports.compression import Compressor
from exo_graphql.transports.conditional import etag_of
from exo_graphql.transports.exchange import Exchange
from exo_graphql.transports.refusals import refusal_of
from exo_graphql.transports.sending import send_body

LLMS_TXT = Path(__file__).with_name("llms.txt")
_READ_ONLY = "This server only reads: no mutations."
_UNDESCRIBED = "No `searchSchema`, no `schema.graphql`."
_TRUSTED_ONLY = "Only this server's own documents: see the end."
_TEXT = b"text/plain; charset=utf-8"
_JSON = b"application/json; charset=utf-8"


class Texts:
    """The endpoints of the texts. Each is made when it is first requested, on a thread, and then kept."""

    paths = frozenset({"/schema.graphql", "/llms.txt"})

    def __init__(
        self,
        schema: GraphQLSchema,
        access: Access,
        compressor: Compressor,
        *,
        introspection: bool = True,
        trusted_only: bool = False,
    ) -> None:
        """`trusted_only`: see `PersistedDocuments`."""
        restrictions = [
            note
            for note, holds in (
                (_READ_ONLY, schema.mutation_type is None),
                (_UNDESCRIBED, not introspection),
                (_TRUSTED_ONLY, trusted_only),
            )
            if holds
        ]
        self._access = access
        self._compressor = compressor
        self._introspection = introspection
        self._whole = cache(lambda: _tagged(print_sorted(schema)))
        self._compact = cache(lambda: _tagged(print_compact(schema)))
        self._llms = cache(lambda: _tagged(_llms_txt(restrictions)))

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one request for one of `paths`."""
        try:
            make = self._text(exchange)
        except IntrospectionDisabledError as error:
            await respond(exchange.send, 403, refusal((error,)), _JSON)
            return
        except (BadRequest, Unauthorized, TooManyFailures) as error:
            status, reported, headers = refusal_of(error, b"GET, HEAD")
            await respond(exchange.send, status, refusal((reported,)), _JSON, headers)
            return
        text, etag = await asyncio.to_thread(make)
        await send_body(exchange, 200, text, _TEXT, self._compressor, etag=etag)

    def _text(self, exchange: Exchange) -> Callable[[], tuple[bytes, bytes]]:
        if exchange.method not in ("GET", "HEAD"):
            raise BadRequest("Use GET or HEAD.", 405)
        if exchange.scope["path"] == "/llms.txt":
            return self._llms
        header = exchange.headers.get(b"authorization")
        self._access.caller(None if header is None else header.decode("latin-1"), address_of(exchange.scope))
        if not self._introspection:
            raise IntrospectionDisabledError
        return self._compact if b"compact=1" in exchange.scope["query_string"].split(b"&") else self._whole


def _llms_txt(restrictions: Sequence[str]) -> str:
    """The text, with what does not hold for this server after its heading."""
    heading, _, rest = LLMS_TXT.read_text(encoding="utf-8").partition("\n")
    return "\n".join([heading, *(f"\n> {note}" for note in restrictions), rest])


def _tagged(text: str) -> tuple[bytes, bytes]:
    content = text.encode()
    return content, etag_of(content)
