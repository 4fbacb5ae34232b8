"""Operations compiled into functions: a plain field costs no more than the read of its attribute.

Read in this order:

    selection ──────────▶ which fields, in which order  (fragments, @skip, @include, merging)
    field_access ───────▶ how a field is read           (the attribute or function below what Strawberry made of it)
    leaf ───────────────▶ which values of a scalar or enum are written as they are
    arguments ──────────▶ what a resolver is called with
    object_compiler ────▶ one function for one selection of an object
    lists ──────────────▶ how lists are completed
    splices ────────────▶ bytes that were made before, and are put into the answer instead of being made anew
    columns ────────────▶ lists that are joined of what other documents have read of them
    compiler ───────────▶ from an operation's selections to such functions
    plan, plans ────────▶ the whole operation, and the plans of every document

graphql-core stays the reference: a plan answers an operation exactly as graphql-core does, byte for byte, or not at
all. What cannot be compiled raises `NotCompilable`; a value that its type does not write as it is, or null where none
may be, raises `CoercionFallback` or the type's own error. The executor then lets graphql-core execute the operation
anew, which costs time and nothing else, since plans only read: mutations are never compiled.
"""

from exo_graphql.engine.compiled.leaf import CoercionFallback
from exo_graphql.engine.compiled.plans import Plans
from exo_graphql.engine.compiled.selection import NotCompilable

__all__ = ["CoercionFallback", "NotCompilable", "Plans"]
