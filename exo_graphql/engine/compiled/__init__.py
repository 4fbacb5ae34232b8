"""Operations compiled into functions: the way of an answer whose cost for a plain field is the read of an attribute.

    document ── selection ──▶ which fields, in which order      (fragments, @skip, @include, merging)
             ── known ──────▶ how a field is read               (what Strawberry made of a house's value)
             ── leaf ───────▶ what is usual for a scalar or enum
             ── reader ─────▶ one function for one selection of an object
             ── plan ───────▶ the whole operation

graphql-core stays the measure. A plan answers only what it answers alike, byte for byte; whatever is not plain
(`NotPlain`, when it is compiled) or does not go as usual (any exception, when it runs) is left to graphql-core, which
executes the operation anew and tells of errors in its own words. Errors are rare, and resolvers only read.
"""

from exo_graphql.engine.compiled.plans import Plans

__all__ = ["Plans"]
