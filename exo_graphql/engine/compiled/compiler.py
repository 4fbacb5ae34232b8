"""From an operation's selections to the functions that read them."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
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
    get_nullable_type,
    is_leaf_type,
)

from exo_graphql.engine.compiled.arguments import Arguments
from exo_graphql.engine.compiled.columns import MAX_COLUMNS, Rows
from exo_graphql.engine.compiled.field_access import FieldAccess, access_of
from exo_graphql.engine.compiled.leaf import CoercionFallback, Leaf, leaf_of
from exo_graphql.engine.compiled.lists import ObjectList, list_of, list_of_nullable, sequence
from exo_graphql.engine.compiled.object_compiler import (
    Complete,
    FieldPlan,
    Inlined,
    Part,
    Parts,
    Place,
    TypeName,
    Work,
    compile_column,
    compile_object,
    is_inlined,
)
from exo_graphql.engine.compiled.selection import Fragments, NotCompilable, collect
from exo_graphql.engine.compiled.splices import Splices, at_place, by_columns

# A fragment is compiled anew wherever it is spread: 10 that spread each other twice make 2^10 copies. What grows
# beyond this many fields is left to graphql-core.
MAX_FIELDS = 1000


# It may wait for its index.
_NOT_COMPILED = frozenset({("Query", "searchSchema")})

Path = tuple[Hashable, ...] | None
"""The fields from the root to a place, with their arguments; None below a list or an argument that varies."""


FieldIdentity = tuple[str, Hashable]
Identity = tuple[str, tuple[FieldIdentity, ...]]
"""An object's type and the `_identity` of each field that is selected: equal for equal selections in any document."""


class Fields:
    """How the fields and leaf types of one schema are read, found out once for each."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self.splices = Splices()
        self._accesses: dict[tuple[str, str], FieldAccess] = {}
        self._leaves: dict[str, Leaf] = {}
        self._plain: dict[str, Mapping[str, FieldPlan]] = {}

    def access(self, type_: GraphQLObjectType, name: str) -> FieldAccess:
        """How a field is read. Raises `NotCompilable`."""
        access = self._accesses.get((type_.name, name))
        if access is None:
            if (type_.name, name) in _NOT_COMPILED:
                raise NotCompilable
            access = self._accesses[type_.name, name] = access_of(type_.fields[name])
        return access

    def plain(self, type_: GraphQLObjectType) -> Mapping[str, FieldPlan]:
        """The plans of the fields that are leaves without arguments: most fields of most documents."""
        plain = self._plain.get(type_.name)
        if plain is None:
            plain = self._plain[type_.name] = dict(self._plain_fields(type_))
        return plain

    def _plain_fields(self, type_: GraphQLObjectType) -> Iterator[tuple[str, FieldPlan]]:
        for name, field in type_.fields.items():
            of_type = get_nullable_type(field.type)
            if field.args or not is_leaf_type(of_type):
                continue
            with suppress(NotCompilable):
                access = self.access(type_, name)
                alone = access.is_of_value_alone
                yield name, FieldPlan(access, self.leaf(of_type), of_type is field.type, of_value_alone=alone)

    def leaf(self, type_: Any) -> Leaf:
        """How the values of a scalar or an enum are written."""
        leaf = self._leaves.get(type_.name)
        if leaf is None:
            leaf = self._leaves[type_.name] = leaf_of(type_)
        return leaf


class Compilation:
    """Compiles one operation of a valid document, with @skip and @include as `variables` (coerced) decide them.

    The constructor raises `NotCompilable`, and `TakesLong` where it is more than `work` allows.
    """

    def __init__(
        self,
        fields: Fields,
        operation: OperationDefinitionNode,
        fragments: Fragments,
        variables: Any,
        work: Work | None = None,
        *,
        bind: bool = False,
    ) -> None:
        """`bind`: the plan is for these variables alone, so that no argument varies."""
        self._fields = fields
        self._fragments = fragments
        self._variables = variables
        self._work = work or Work()
        self._bind = bind
        self._count = 0
        self.arguments: list[Arguments] = []
        """Arguments that depend on variables: computed for each run; a reader holds the index of its own."""
        root = fields.schema.get_root_type(operation.operation)
        # A mutation changes the cluster: it must not be executed by a plan and then again by graphql-core.
        if root is None or operation.operation is OperationType.MUTATION:
            raise NotCompilable
        parts, _ = self._parts(root, [operation.selection_set], ())
        self.root = compile_object(parts, self._work, root=True)

    def _parts(
        self, type_: GraphQLObjectType, sets: Iterable[SelectionSetNode], path: Path = None
    ) -> tuple[Parts, Identity]:
        """The parts of an object, and their identity, which is equal for equal selections in any document."""
        fields = collect(self._fields.schema, self._fragments, self._variables, type_, sets)
        self._count += len(fields)
        if self._count > MAX_FIELDS:
            raise NotCompilable
        self._work.take(Work.FIELD * len(fields))
        parts: list[tuple[str, Part]] = []
        identities: list[FieldIdentity] = []
        plain = self._fields.plain(type_)
        for key, nodes in fields.items():
            name = nodes[0].name.value
            known = plain.get(name)
            part, identity = self._part(type_, key, nodes, path) if known is None else (known, _identity(key, name))
            parts.append((key, part))
            identities.append(identity)
        return parts, (type_.name, tuple(identities))

    def _part(
        self, type_: GraphQLObjectType, key: str, nodes: list[FieldNode], path: Path
    ) -> tuple[Part, FieldIdentity]:
        name = nodes[0].name.value
        if name == "__typename":
            return TypeName(type_.name), _identity(key, name)
        if name not in type_.fields:  # __schema and __type
            raise NotCompilable
        field = type_.fields[name]
        access = self._fields.access(type_, name)
        function = access.function
        index, bound = None, None
        first_argument = len(self.arguments)
        if access.python_names:
            arguments = Arguments(field, nodes[0], access.python_names)
            if arguments.vary and not self._bind:
                index = len(self.arguments)
                self.arguments.append(arguments)
            else:
                values = arguments.values(self._variables)
                access, bound = access.with_arguments(values), _hashable(values)
        # The place of a field below this one: none in an element of a list, whose fields have a value for each.
        # Its function counts: `operation` of a subscription also completes it, and that of a query does not.
        here = None if path is None or index is not None else (*path, (name, function, bound))
        nullable = not isinstance(field.type, GraphQLNonNull)
        of_type = field.type.of_type if isinstance(field.type, GraphQLNonNull) else field.type
        value, of_value = self._value(of_type, nodes, here)
        varies = len(self.arguments) != first_argument
        rows = None
        if isinstance(value, ObjectList):
            if here is not None and not varies and len(value.fields) <= MAX_COLUMNS:
                rows = self._rows(here, access, value, nullable=nullable)
            if rows is None or value.kept is not None:
                value.compile(self._work)
        of_value_alone = not varies and access.is_of_value_alone and _is_of_value_alone(value)
        part = FieldPlan(access, value, nullable, index, of_value_alone)
        # An argument with an index has another value in each run: such a part (`varies`) is not shared.
        identity = _identity(key, name, bound, of_value)
        if here is None or varies or of_value is None or isinstance(value, Inlined):
            return part, identity
        read = self._member(here, part)
        if rows is not None:
            read = by_columns(rows, read)
        return Place(at_place(self._fields.splices.point((here, of_value)), read)), identity

    def _rows(self, here: Path, access: FieldAccess, value: ObjectList, *, nullable: bool) -> Rows:
        """Of the list at a place."""
        place = self._fields.splices.point(("list", here))
        values = self._member(here, FieldPlan(access, sequence, nullable))
        readers = [compile_column(part, self._work) for _, part in value.parts]
        return Rows(place, value.kept, value.fields, values, readers)

    def _member(self, here: Path, part: Part) -> Complete:
        """A function that reads what is at a place from the object that has it."""
        read = compile_object([("", part)], self._work, root=len(here or ()) == 1)

        def read_member(value: Any, info: Any) -> Any:
            return read(value, info)[""]

        return read_member

    def _value(
        self, type_: GraphQLOutputType, nodes: list[FieldNode], path: Path
    ) -> tuple[Leaf | Inlined | Complete, Hashable]:
        if is_leaf_type(type_):
            return self._fields.leaf(type_), None
        if isinstance(type_, GraphQLObjectType):
            parts, identity = self._object(type_, nodes, path)
            return Inlined(parts) if is_inlined(parts) else compile_object(parts, self._work), identity
        return self._complete(type_, nodes)

    def _object(self, type_: GraphQLObjectType, nodes: list[FieldNode], path: Path = None) -> tuple[Parts, Identity]:
        if type_.is_type_of is not None:
            raise NotCompilable
        return self._parts(type_, _sets(nodes), path)

    def _complete(self, type_: GraphQLOutputType, nodes: list[FieldNode]) -> tuple[Complete, Hashable]:
        """The function that completes a value, which is not null, of a nullable type."""
        if isinstance(type_, GraphQLList):
            if not isinstance(type_.of_type, GraphQLNonNull):
                if not is_leaf_type(type_.of_type):  # no list of this schema holds objects and nulls
                    raise NotCompilable
                return list_of_nullable(self._fields.leaf(type_.of_type)), None
            return self._list(type_.of_type.of_type, nodes)
        if isinstance(type_, GraphQLObjectType):
            parts, identity = self._object(type_, nodes)
            return compile_object(parts, self._work), identity
        if isinstance(type_, GraphQLAbstractType):
            return self._one_of(type_, nodes)
        coerce = self._fields.leaf(type_).coerce
        return lambda value, _: coerce(value), None

    def _list(self, type_: GraphQLOutputType, nodes: list[FieldNode]) -> tuple[Complete, Hashable]:
        if not isinstance(type_, GraphQLObjectType):
            item, identity = self._complete(type_, nodes)
            if isinstance(item, ObjectList):
                item.compile(self._work)
            return list_of(item), identity
        parts, of_object = self._object(type_, nodes)
        # A small object is read as fast as its bytes are found.
        kept = not is_inlined(parts) and _all_of_value_alone(parts)
        return ObjectList(parts, of_object[1], self._fields.splices.point(of_object) if kept else None), of_object

    def _one_of(self, type_: GraphQLAbstractType, nodes: list[FieldNode]) -> tuple[Complete, Hashable]:
        """An object of an interface or union: of the first type whose `is_type_of` accepts it, as in graphql-core."""
        types = self._fields.schema.get_possible_types(type_)
        readers, identities = [], []
        for possible in types:
            parts, identity = self._parts(possible, _sets(nodes))
            readers.append((possible.is_type_of, compile_object(parts, self._work)))
            identities.append(identity)

        def complete(value: Any, info: Any) -> Any:
            for is_type_of, read in readers:
                if is_type_of is not None and is_type_of(value, info):
                    return read(value, info)
            raise CoercionFallback

        return complete, tuple(identities)


def _identity(key: str, name: str, bound: Hashable = None, of_value: Hashable = None) -> FieldIdentity:
    """A field's key, and what is equal for equal fields under any key: name, arguments, identity of the selections."""
    return key, (name, bound, of_value)


def _sets(nodes: list[FieldNode]) -> list[SelectionSetNode]:
    return [node.selection_set for node in nodes if node.selection_set is not None]


def _is_of_value_alone(value: Leaf | Inlined | Complete) -> bool:
    # Of an object or a list that has a function of its own nothing is known here.
    return isinstance(value, Leaf) or (isinstance(value, Inlined) and _all_of_value_alone(value.parts))


def _all_of_value_alone(parts: Parts) -> bool:
    return all(isinstance(part, TypeName) or (isinstance(part, FieldPlan) and part.of_value_alone) for _, part in parts)


def _hashable(value: Any) -> Hashable:
    if isinstance(value, dict):
        return tuple((key, _hashable(member)) for key, member in value.items())
    return tuple(_hashable(member) for member in value) if isinstance(value, list) else value
