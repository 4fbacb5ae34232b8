"""From an operation's selections to the functions that read them."""

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
from exo_graphql.engine.compiled.field_access import FieldAccess, access_of
from exo_graphql.engine.compiled.leaf import CoercionFallback, Leaf, leaf_of
from exo_graphql.engine.compiled.object_compiler import (
    Complete,
    FieldPlan,
    Inlined,
    TypeName,
    compile_object,
    is_inlined,
)
from exo_graphql.engine.compiled.selection import Fragments, NotCompilable, collect

# A fragment is compiled anew wherever it is spread: 10 that spread each other twice make 2^10 copies. What grows
# beyond this many fields is left to graphql-core.
MAX_FIELDS = 1000


class Fields:
    """How the fields and leaf types of one schema are read, found out once for each."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self._accesses: dict[tuple[str, str], FieldAccess] = {}
        self._leaves: dict[str, Leaf] = {}

    def access(self, type_: GraphQLObjectType, name: str) -> FieldAccess:
        """How a field is read. Raises `NotCompilable`."""
        access = self._accesses.get((type_.name, name))
        if access is None:
            access = self._accesses[type_.name, name] = access_of(type_.fields[name])
        return access

    def leaf(self, type_: Any) -> Leaf:
        """How the values of a scalar or an enum are written."""
        leaf = self._leaves.get(type_.name)
        if leaf is None:
            leaf = self._leaves[type_.name] = leaf_of(type_)
        return leaf


class Compilation:
    """Compiles one operation of a valid document, with @skip and @include as `variables` (coerced) decide them.

    The constructor raises `NotCompilable`.
    """

    def __init__(
        self, fields: Fields, operation: OperationDefinitionNode, fragments: Fragments, variables: Any
    ) -> None:
        self._fields = fields
        self._fragments = fragments
        self._variables = variables
        self._count = 0
        self.arguments: list[Arguments] = []
        """Arguments that depend on variables: computed for each run; a reader holds the index of its own."""
        root = fields.schema.get_root_type(operation.operation)
        # A mutation changes the cluster: it must not be executed by a plan and then again by graphql-core.
        if root is None or operation.operation is OperationType.MUTATION:
            raise NotCompilable
        self.root = compile_object(self._parts(root, [operation.selection_set]), root=True)

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
        access = self._fields.access(type_, name)
        index = None
        if access.python_names:
            arguments = Arguments(field, nodes[0], access.python_names)
            if arguments.vary:
                index = len(self.arguments)
                self.arguments.append(arguments)
            else:
                access = access.with_arguments(arguments.values(None))
        nullable = not isinstance(field.type, GraphQLNonNull)
        of_type = field.type.of_type if isinstance(field.type, GraphQLNonNull) else field.type
        return FieldPlan(key, access, self._value(of_type, nodes), nullable, index)

    def _value(self, type_: GraphQLOutputType, nodes: list[FieldNode]) -> Leaf | Inlined | Complete:
        if is_leaf_type(type_):
            return self._fields.leaf(type_)
        if isinstance(type_, GraphQLObjectType):
            parts = self._object(type_, nodes)
            return Inlined(parts) if is_inlined(parts) else compile_object(parts)
        return self._complete(type_, nodes)

    def _object(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> list[FieldPlan | TypeName]:
        if type_.is_type_of is not None:
            raise NotCompilable
        return self._parts(type_, _sets(nodes))

    def _complete(self, type_: GraphQLOutputType, nodes: list[FieldNode]) -> Complete:
        """The function that completes a value, which is not null, of a nullable type."""
        if isinstance(type_, GraphQLList):
            if not isinstance(type_.of_type, GraphQLNonNull):  # no list of this schema holds nulls
                raise NotCompilable
            return _list_of(self._complete(type_.of_type.of_type, nodes))
        if isinstance(type_, GraphQLObjectType):
            return compile_object(self._object(type_, nodes))
        if isinstance(type_, GraphQLAbstractType):
            return self._one_of(type_, nodes)
        coerce = self._fields.leaf(type_).coerce
        return lambda value, _: coerce(value)

    def _one_of(self, type_: GraphQLAbstractType, nodes: list[FieldNode]) -> Complete:
        """An object of an interface or union: of the first type whose `is_type_of` accepts it, as in graphql-core."""
        types = self._fields.schema.get_possible_types(type_)
        readers = [(possible.is_type_of, compile_object(self._parts(possible, _sets(nodes)))) for possible in types]

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
