"""Documents of hypothesis-graphql: each takes 20 ms to make, and so all that holds of any document is checked of it."""

import re

from graphql import parse, print_schema, validate
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis_graphql import queries

from exo_graphql.engine.fast_validation import is_surely_valid
from exo_graphql.engine.limits import Limits
from tests.engine.test_compiled import WAITING, assert_alike, snapshots
from tests.engine.test_fast_validation import RULES
from tests.engine.test_simple_parser import agrees
from tests.support.asking import SCHEMA

assert SCHEMA.query_type is not None
AT_ONCE = [name for name in SCHEMA.query_type.fields if name not in WAITING]


@settings(max_examples=200, deadline=None)
@given(st.deferred(lambda: queries(print_schema(SCHEMA), fields=AT_ONCE)), st.data())
def test_documents_that_are_answered_at_once(document: str, data: st.DataObject) -> None:
    check(document)
    assert_alike(document, data.draw(st.sampled_from(snapshots())))


@settings(max_examples=40, deadline=None)
@given(st.deferred(lambda: queries(print_schema(SCHEMA), fields=WAITING)))
def test_documents_that_wait(document: str) -> None:
    check(document)


def check(text: str) -> None:
    """It is valid, fast validation proves it if it is usual, and the simple parser reads what graphql-core reads."""
    document = parse(text)
    assert validate(SCHEMA, document, RULES) == []
    # In objects of different types, one key may be of different fields.
    assert is_surely_valid(SCHEMA, document, Limits().max_pairs) or "..." in text
    assert agrees(text) or re.search(r'\.\.\.|[$@#]|"""', text) or len(text) > 200
