"""Valid documents made at random from a schema: with variables, fragments, directives, and fields asked twice.

`hypothesis-graphql` makes queries of fields and literal arguments; what it leaves out is made here. Everything hangs
on one `Random`, so that a document is an example of one seed, and many are made in little time.
"""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

DEEPEST = 4

Composite = GraphQLObjectType | GraphQLInterfaceType


@dataclass
class Generator:
    """Makes one document, and the variables to send with it. `texts` are strings worth asking for."""

    schema: GraphQLSchema
    random: Random
    texts: tuple[str, ...]
    left_out: frozenset[str] = frozenset({"placements", "plan", "searchHub", "calendar", "events"})
    """Fields whose resolvers wait."""
    declared: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    fragments: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Type and text, by name."""
    arguments: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """Those of a field under one response key must be the same at every place."""

    def document(self, operation: str) -> str:
        """A document of one operation, `query` or `subscription`."""
        root = self.schema.query_type if operation == "query" else self.schema.subscription_type
        assert root is not None
        if operation == "query":
            body = self._selections(root, 0)
        else:
            name = self.random.choice(sorted(root.fields))
            body = "{ " + self._field(root, name, 0) + " }"
        declared = f"({' '.join(f'${name}: {text}' for name, text in self.declared.items())})" if self.declared else ""
        fragments = [f"fragment {name} on {type_} {text}" for name, (type_, text) in self.fragments.items()]
        return "\n".join([f"{operation} {declared} {body}", *fragments])

    def _selections(self, type_: Composite, depth: int) -> str:
        made = [self._selection(type_, depth) for _ in range(self.random.choice((1, 2, 3, 5)))]
        return "{ " + " ".join(made) + " }"

    def _selection(self, type_: Composite, depth: int) -> str:
        dice = self.random.random()
        if depth < DEEPEST and dice < 0.1:
            of_type = self.random.choice(self._narrower(type_))
            condition = f"on {of_type.name} " if of_type is not type_ or dice < 0.05 else ""
            return f"... {condition}{self._directives()} {self._selections(of_type, depth + 1)}"
        if depth < DEEPEST and dice < 0.2:
            return f"...{self._fragment(self.random.choice(self._narrower(type_)), depth)} {self._directives()}"
        if dice < 0.27:
            return self.random.choice(("__typename", "kind_: __typename"))
        fields = sorted(type_.fields.keys() - self.left_out)
        leaves = [name for name in fields if is_leaf_type(get_named_type(type_.fields[name].type))]
        return self._field(type_, self.random.choice(leaves if depth >= DEEPEST and leaves else fields), depth)

    def _narrower(self, type_: Composite) -> list[Composite]:
        if isinstance(type_, GraphQLObjectType):
            return [type_, *type_.interfaces]
        return [type_, *self.schema.get_possible_types(type_)]

    def _fragment(self, type_: Composite, depth: int) -> str:
        fit = [name for name, (on, _) in self.fragments.items() if on == type_.name]
        if fit and self.random.random() < 0.5:
            return self.random.choice(fit)
        text = self._selections(type_, depth + 1)
        name = f"F{len(self.fragments)}"
        self.fragments[name] = (type_.name, text)
        return name

    def _field(self, type_: Composite, name: str, depth: int) -> str:
        of_field = type_.fields[name]
        alias = self.random.choice(("", "", "", f"{name}_1: ", f"{name}_2: "))
        arguments = self._arguments_once(type_, name, alias, of_field)
        inner = get_named_type(of_field.type)
        if is_leaf_type(inner):
            body = ""
        elif depth >= DEEPEST:
            body = "{ __typename }"
        else:
            assert isinstance(inner, GraphQLObjectType | GraphQLInterfaceType)
            body = self._selections(inner, depth + 1)
        return f"{alias}{name}{arguments} {self._directives()} {body}"

    def _directives(self) -> str:
        made = []
        for name in ("skip", "include"):
            if self.random.random() < 0.08:
                condition = self.random.choice(("true", "false", "")) or self._boolean()
                made.append(f"@{name}(if: {condition})")
        return " ".join(made)

    def _boolean(self) -> str:
        name = self.random.choice(("yes", "no", "maybe"))
        self.declared[name] = {"yes": "Boolean!", "no": "Boolean! = false", "maybe": "Boolean = true"}[name]
        if name == "yes" or (name not in self.values and self.random.random() < 0.5):
            self.values.setdefault(name, self.random.random() < 0.5)
        return f"${name}"

    def _arguments_once(self, type_: Composite, name: str, alias: str, of_field: GraphQLField) -> str:
        key = (type_.name, name, alias)
        if key not in self.arguments:
            made = []
            for argument, definition in of_field.args.items():
                if is_required_argument(definition) or self.random.random() < 0.4:
                    made.append(f"{argument}: {self._argument(definition)}")
            self.arguments[key] = f"({', '.join(made)})" if made else ""
        return self.arguments[key]

    def _argument(self, definition: GraphQLArgument) -> str:
        value = self._value(definition.type)
        if self.random.random() < 0.6:
            return _literal(value, definition.type)
        name = f"v{len(self.declared)}"
        self.declared[name] = str(definition.type)
        if self.random.random() < 0.3:
            self.declared[name] += f" = {_literal(self._value(definition.type), definition.type)}"
            if self.random.random() < 0.5:
                return f"${name}"
        if is_required_argument(definition) or self.random.random() < 0.8:
            self.values[name] = value
        return f"${name}"

    def _value(self, type_: GraphQLInputType) -> Any:
        if isinstance(type_, GraphQLNonNull):
            return self._given(type_.of_type)
        return None if self.random.random() < 0.05 else self._given(type_)

    def _given(self, type_: GraphQLInputType) -> Any:
        if isinstance(type_, GraphQLList):
            return [self._value(type_.of_type) for _ in range(self.random.randrange(4))]
        if isinstance(type_, GraphQLEnumType):
            return self.random.choice(sorted(type_.values))
        named = get_named_type(type_).name
        if named == "Boolean":
            return self.random.random() < 0.5
        if named == "Int":
            return self.random.choice((-1, 0, 1, 3, 1000))
        return self.random.choice(self.texts)


def _literal(value: Any, type_: GraphQLInputType) -> str:
    if isinstance(value, list):
        inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
        assert isinstance(inner, GraphQLList)
        return "[" + ", ".join(_literal(item, inner.of_type) for item in value) + "]"
    if isinstance(get_named_type(type_), GraphQLEnumType):
        return "null" if value is None else str(value)
    return json.dumps(value)
