"""A query with every field of every type, generated from the schema."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    get_named_type,
    is_leaf_type,
    parse,
    visit,
)


@dataclass
class _Selection:
    """The selection of one field; `inner` by the concrete types that it may have."""

    type_: GraphQLNamedType
    text: str
    inner: dict[str, list["_Selection"]] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.inner:
            return self.text
        of_type = [(name, " ".join(map(str, fields))) for name, fields in self.inner.items()]
        if len(of_type) == 1 and of_type[0][0] == self.type_.name:
            return f"{self.text} {{ __typename {of_type[0][1]} }}"
        return f"{self.text} {{ __typename {' '.join(f'... on {name} {{ {fields} }}' for name, fields in of_type)} }}"


def full_query(
    schema: GraphQLSchema, arguments: Mapping[str, str], given: Mapping[str, str] | None = None
) -> DocumentNode:
    """Every field of every object type below `Query`, each way from one type to another once, where it is nearest.

    `arguments` holds GraphQL literals for the required ones, by the argument's name. A list of an enum is asked with
    each of its values. `given` holds whole fields with their arguments, by type and name.
    """
    assert schema.query_type is not None
    root = _Selection(schema.query_type, "query")
    waiting = deque([root])
    walked: set[str] = set()
    while waiting:
        selection = waiting.popleft()
        for type_ in _possible(schema, selection.type_):
            fields = selection.inner[type_.name] = []
            for name, of_field in type_.fields.items():
                inner = get_named_type(of_field.type)
                text = (given or {}).get(f"{type_.name}.{name}") or name + _arguments(of_field, arguments)
                if is_leaf_type(inner):
                    fields.append(_Selection(inner, text))
                elif f"{type_.name}.{name}" not in walked:
                    walked.add(f"{type_.name}.{name}")
                    # Types of one interface may differ in nullability: an alias keeps them apart.
                    way = _Selection(inner, f"{type_.name}_{text[: len(name)]}: {text}" if type_.interfaces else text)
                    fields.append(way)
                    waiting.append(way)
    return parse(str(root))


def _possible(schema: GraphQLSchema, type_: GraphQLNamedType) -> list[GraphQLObjectType]:
    if isinstance(type_, GraphQLUnionType | GraphQLInterfaceType):
        return list(schema.get_possible_types(type_))
    assert isinstance(type_, GraphQLObjectType)
    return [type_]


def _arguments(of_field: GraphQLField, arguments: Mapping[str, str]) -> str:
    written = []
    for name, argument in of_field.args.items():
        if isinstance(argument.type, GraphQLNonNull):
            written.append(f"{name}: {arguments[name]}")
        elif (values := _every_value(argument)) is not None:
            written.append(f"{name}: [{', '.join(values)}]")
    return f"({', '.join(written)})" if written else ""


def _every_value(argument: GraphQLArgument) -> list[str] | None:
    named = get_named_type(argument.type)
    is_list = isinstance(argument.type, GraphQLList)
    return list(named.values) if is_list and isinstance(named, GraphQLEnumType) else None


def asked(schema: GraphQLSchema, document: DocumentNode) -> set[str]:
    """`Type.field` of everything that a document asks."""
    found: set[str] = set()
    info = TypeInfo(schema)

    class Collector(Visitor):
        def enter_field(self, node: FieldNode, *_: object) -> None:
            parent = info.get_parent_type()
            assert parent is not None
            found.add(f"{parent.name}.{node.name.value}")

    visit(document, TypeInfoVisitor(info, Collector()))
    return found


def reachable(root: GraphQLObjectType, schema: GraphQLSchema) -> Iterator[GraphQLObjectType]:
    """Every object type that answers to something below `root`."""
    waiting: list[GraphQLNamedType] = [root]
    seen: set[str] = set()
    while waiting:
        type_ = waiting.pop()
        if type_.name in seen or is_leaf_type(type_):
            continue
        seen.add(type_.name)
        for possible in _possible(schema, type_):
            if possible is type_:
                yield possible
                waiting.extend(get_named_type(of_field.type) for of_field in possible.fields.values())
            else:
                waiting.append(possible)
