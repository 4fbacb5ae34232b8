"""From selections to readers."""

from collections.abc import Iterable
from typing import Any

from graphql import (
    FieldNode,
    GraphQLAbstractType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    is_leaf_type,
)

from exo_graphql.engine.compiled.arguments import Arguments
from exo_graphql.engine.compiled.field_access import FieldAccess, know
from exo_graphql.engine.compiled.leaf import CoercionFallback, Leaf, leaf_of
from exo_graphql.engine.compiled.object_compiler import Complete, FieldPlan, Inlined, TypeName, is_small, reader
from exo_graphql.engine.compiled.selection import Fragments, NotCompilable, collect

# A fragment that is spread many times is compiled as often; what grows beyond this is left to graphql-core.
MAX_FIELDS = 1000


class Fields:
    """What is known of the fields and leaf types of one schema, looked at once."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self._known: dict[tuple[str, str], FieldAccess] = {}
        self._leaves: dict[str, Leaf] = {}

    def known(self, type_: GraphQLObjectType, name: str) -> FieldAccess:
        """How a field is read. Raises `NotPlain`."""
        known = self._known.get((type_.name, name))
        if known is None:
            known = self._known[type_.name, name] = know(type_.fields[name])
        return known

    def leaf(self, type_: Any) -> Leaf:
        """How the values of a scalar or an enum are written."""
        leaf = self._leaves.get(type_.name)
        if leaf is None:
            leaf = self._leaves[type_.name] = leaf_of(type_)
        return leaf


class Compilation:
    """Compiles one operation of a valid document, with @skip and @include as `variables` (coerced) have them.

    Making one raises `NotPlain` for what is left to graphql-core.
    """

    def __init__(
        self, fields: Fields, operation: OperationDefinitionNode, fragments: Fragments, variables: Any
    ) -> None:
        self._fields = fields
        self._fragments = fragments
        self._variables = variables
        self._count = 0
        self.arguments: list[Arguments] = []
        """Arguments to be computed for each run, in the places where readers look for them."""
        root = fields.schema.get_root_type(operation.operation)
        # A mutation acts, so it may not be tried and then executed again.
        if root is None or operation.operation is OperationType.MUTATION:
            raise NotCompilable
        self.root = reader(self._parts(root, [operation.selection_set]), root=True)

    def _parts(self, type_: GraphQLObjectType, sets: Iterable[SelectionSetNode]) -> list[FieldPlan | TypeName]:
        fields = collect(self._fields.schema, self._fragments, self._variables, type_, sets)
        self._count += len(fields)
        if self._count > MAX_FIELDS:
            raise NotCompilable
        return [self._part(type_, key, nodes) for key, nodes in fields.items()]

    def _part(self, type_: GraphQLObjectType, key: str, nodes: list[FieldNode]) -> FieldPlan | TypeName:
        name = nodes[0].name.value
        if name == "__typename":
            return TypeName(key, type_.name)
        if name not in type_.fields:  # __schema and __type
            raise NotCompilable
        field = type_.fields[name]
        known = self._fields.known(type_, name)
        place = None
        if known.python_names:
            arguments = Arguments(field, nodes[0], known.python_names)
            if arguments.vary:
                place = len(self.arguments)
                self.arguments.append(arguments)
            else:
                known = known.with_arguments(arguments.values(None))
        nullable = not isinstance(field.type, GraphQLNonNull)
        of_type = field.type.of_type if isinstance(field.type, GraphQLNonNull) else field.type
        return FieldPlan(key, known, self._becomes(of_type, nodes), nullable, place)

    def _becomes(self, type_: GraphQLOutputType, nodes: list[FieldNode]) -> Leaf | Inlined | Complete:
        if is_leaf_type(type_):
            return self._fields.leaf(type_)
        if isinstance(type_, GraphQLObjectType):
            parts = self._object(type_, nodes)
            return Inlined(parts) if is_small(parts) else reader(parts)
        return self._complete(type_, nodes)

    def _object(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> list[FieldPlan | TypeName]:
        if type_.is_type_of is not None:
            raise NotCompilable
        return self._parts(type_, _sets(nodes))

    def _complete(self, type_: GraphQLOutputType, nodes: list[FieldNode]) -> Complete:
        """What becomes of a value of a nullable type that is not null."""
        if isinstance(type_, GraphQLList):
            if not isinstance(type_.of_type, GraphQLNonNull):  # no list of the schema has holes
                raise NotCompilable
            return _list_of(self._complete(type_.of_type.of_type, nodes))
        if isinstance(type_, GraphQLObjectType):
            return reader(self._object(type_, nodes))
        if isinstance(type_, GraphQLAbstractType):
            return self._one_of(type_, nodes)
        coerce = self._fields.leaf(type_).coerce
        return lambda value, _: coerce(value)

    def _one_of(self, type_: GraphQLAbstractType, nodes: list[FieldNode]) -> Complete:
        """An object of an interface or union: of the first type that claims it, as graphql-core asks them."""
        types = self._fields.schema.get_possible_types(type_)
        readers = [(possible.is_type_of, reader(self._parts(possible, _sets(nodes)))) for possible in types]

        def complete(value: Any, info: Any) -> Any:
            for is_type_of, read in readers:
                if is_type_of is not None and is_type_of(value, info):
                    return read(value, info)
            raise CoercionFallback

        return complete


def _sets(nodes: list[FieldNode]) -> list[SelectionSetNode]:
    return [node.selection_set for node in nodes if node.selection_set is not None]


def _list_of(item: Complete) -> Complete:
    def complete(values: Any, info: Any) -> list[Any]:
        if values.__class__ is not tuple and values.__class__ is not list:
            raise CoercionFallback
        return [item(value, info) for value in values]

    return complete
