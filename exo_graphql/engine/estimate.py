"""The walk that estimates one operation's cost."""

from collections import Counter
from collections.abc import Collection, Mapping

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
)

from exo_graphql.engine.cost import Cost
from exo_graphql.engine.field_sizes import (
    CALENDAR,
    DOWNLOADS_BY_STATUS,
    EXO_CALLS,
    LISTS,
    LOOKUP_ARGUMENTS,
    LOOKUPS,
    SIZED_BY,
    WALKS,
    Size,
)
from exo_graphql.engine.list_sizes import ListSizes

# Lists of plain values (addresses, capabilities, reasons) are short.
_SHORT_LIST = 8.0
# A list that the table does not know.
_UNKNOWN_LIST = 1000.0
# The response repeats a key as often as its field: this many of its characters cost as much as the field.
_KEY_CHARACTERS = 32


class Estimate:
    """One walk over one operation: linear in the document, since each fragment is counted once for each type."""

    def __init__(
        self,
        schema: GraphQLSchema,
        introspection: Mapping[tuple[str, str], float],
        plain: Collection[tuple[str, str]],
        document: DocumentNode,
        sizes: ListSizes,
        variables: Mapping[str, object] | None = None,
    ) -> None:
        """`plain`: see `plain_fields`."""
        self._schema = schema
        self._introspection = introspection
        self._plain = plain
        self._sizes = sizes
        self._used: dict[Size, float] = {}
        """The sizes that the estimate depends on."""
        self._variables = variables or {}
        self._read: dict[str, object] = {}
        """The variables that it depends on, with the values that it was made for."""
        self._defaults: dict[str, ValueNode | None] = {}
        """The default of each variable of the operation."""
        self._calls: Counter[str] = Counter()
        """How many fields call exo, and how many are calendars."""
        self._fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._named: Counter[str] = Counter()
        """By variable that lists names: how many fields look these up."""
        self._counted: dict[tuple[str, str], tuple[float, Counter[str], Counter[str]]] = {}
        """By type and fragment: its cost, calls and names."""

    def of(self, operation: OperationDefinitionNode) -> Cost:
        """The cost of one of the document's operations."""
        self._defaults = {each.variable.name.value: each.default_value for each in operation.variable_definitions or ()}
        root = self._schema.get_root_type(operation.operation)
        total = 0.0 if root is None else self._set(root, operation.selection_set)
        exo_calls, calendars = self._calls["exo"], self._calls["calendar"]
        return Cost(total, exo_calls, calendars, tuple(self._used.items()), tuple(self._named.items()), self._read)

    def _set(self, parent: GraphQLNamedType, selection_set: SelectionSetNode) -> float:
        """The cost of one object of the type."""
        total = 0.0
        for selection in selection_set.selections:
            if isinstance(selection, FieldNode):
                total += self._field(parent, selection)
            elif isinstance(selection, FragmentSpreadNode):
                total += self._fragment(parent, selection.name.value)
            elif isinstance(selection, InlineFragmentNode):
                total += self._set(self._condition(parent, selection), selection.selection_set)
        return total

    def _condition(
        self, parent: GraphQLNamedType, fragment: InlineFragmentNode | FragmentDefinitionNode
    ) -> GraphQLNamedType:
        condition = fragment.type_condition
        return parent if condition is None else self._schema.get_type(condition.name.value) or parent

    def _fragment(self, parent: GraphQLNamedType, name: str) -> float:
        fragment = self._fragments.get(name)
        if fragment is None:
            return 0.0
        key = parent.name, name
        counted = self._counted.get(key)
        if counted is None:
            before, named = Counter(self._calls), Counter(self._named)
            total = self._set(self._condition(parent, fragment), fragment.selection_set)
            self._counted[key] = total, self._calls - before, self._named - named
            return total
        self._calls.update(counted[1])
        self._named.update(counted[2])
        return counted[0]

    def _field(self, parent: GraphQLNamedType, node: FieldNode) -> float:
        if not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType):
            return 1.0
        key = node.alias.value if node.alias else node.name.value
        own = 1.0 + len(key) // _KEY_CHARACTERS
        if (parent.name, node.name.value) in self._plain:
            return own
        definition = self._schema.get_field(parent, node.name.value)
        if definition is None:
            return 1.0
        own += self._lookups(parent.name, node)
        below = node.selection_set
        times = self._times(parent.name, node, definition)
        return own + times * (self._set(get_named_type(definition.type), below) if below is not None else 1.0)

    def _times(self, parent: str, node: FieldNode, definition: GraphQLField) -> float:
        """How many objects a field has, or how many values beyond its first."""
        if (parent, node.name.value) in SIZED_BY:
            count = self._count(node, *SIZED_BY[parent, node.name.value])
            # Of a history it is the length of each list in it, which count as short ones.
            return count if _is_list(definition.type) else max(1.0, count / _SHORT_LIST)
        if not _is_list(definition.type):
            return 1.0 if node.selection_set is not None else 0.0
        if node.selection_set is None:
            return _SHORT_LIST
        name = node.name.value
        introspected = self._introspection.get((parent, name))
        if introspected is not None:
            return introspected
        size = LISTS.get((parent, name))
        if name == "downloads" and _is_given(node, "status"):
            size = DOWNLOADS_BY_STATUS.get(parent, size)
        if name == "tasks" and (_is_given(node, "status") or _is_given(node, "kind")):
            size = _all_tasks
        # A list that the table does not know counts as a long one.
        return self._size(size) if size is not None else _UNKNOWN_LIST

    def _lookups(self, parent: str, node: FieldNode) -> float:
        """What a field costs besides its values: finding models, nodes and tasks."""
        name = node.name.value
        if parent == "Mutation" or (parent, name) in EXO_CALLS:
            self._calls["exo"] += 1
        if (parent, name) == CALENDAR:
            self._calls["calendar"] += 1
        extra = self._names(node) if (parent, name) in EXO_CALLS else 0.0
        if name in LOOKUPS.get(parent, ()) or (
            node.arguments and any(_is_given(node, argument) for argument in LOOKUP_ARGUMENTS)
        ):
            extra += self._size(_models)
        # `node` of a shard or a placement has the id and searches nothing.
        if (parent, name) == ("Query", "node") or _is_given(node, "node"):
            extra += self._size(_nodes) / 10
        if (parent, name) in WALKS:
            extra += (self._size(_tasks) + self._size(_loaded) * self._size(_shards)) / 50
        if parent == "Query" and name == "downloads" and node.arguments:
            extra += self._size(_all_downloads) / 50
        return extra

    def _names(self, node: FieldNode) -> float:
        """The names that a field lists, each of which is looked up. Lists in variables are counted by `with_names`."""
        count = 0.0
        for given in node.arguments or ():
            if isinstance(given.value, ListValueNode):
                count += len(given.value.values)
            elif isinstance(given.value, VariableNode):
                self._named[given.value.name.value] += 1
        return count

    def _count(self, node: FieldNode, name: str, default: int, most: int) -> float:
        """The value of an argument that says how many; the most that it may be where that is not known."""
        given: ValueNode | None = next((a.value for a in node.arguments or () if a.name.value == name), None)
        if isinstance(given, VariableNode):
            variable = given.name.value
            value = self._read[variable] = self._variables.get(variable)
            if isinstance(value, int):
                return float(max(1, min(most, value)))
            given = None if variable in self._variables else self._defaults.get(variable)
        if given is None or isinstance(given, NullValueNode):
            return float(default)
        return float(max(1, min(most, int(given.value)))) if isinstance(given, IntValueNode) else float(most)

    def _size(self, size: Size) -> float:
        value = self._used.get(size)
        if value is None:
            value = self._used[size] = size(self._sizes)
        return value


def plain_fields(schema: GraphQLSchema) -> frozenset[tuple[str, str]]:
    """The fields that cost the same wherever they are: single values without arguments that look nothing up."""
    return frozenset(
        (type_.name, name)
        for type_ in schema.type_map.values()
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType) and type_ is not schema.mutation_type
        for name, field in type_.fields.items()
        if is_leaf_type(get_nullable_type(field.type)) and not field.args and not _is_special(type_.name, name)
    )


def _is_special(parent: str, name: str) -> bool:
    place = parent, name
    return (
        place in SIZED_BY
        or place in EXO_CALLS
        or place in WALKS
        or place == CALENDAR
        or name in LOOKUPS.get(parent, ())
    )


def _models(sizes: ListSizes) -> float:
    return sizes.models


def _nodes(sizes: ListSizes) -> float:
    return sizes.nodes


def _tasks(sizes: ListSizes) -> float:
    return sizes.tasks


def _all_tasks(sizes: ListSizes) -> float:
    return sizes.all_tasks


def _loaded(sizes: ListSizes) -> float:
    return sizes.loaded * sizes.instances_of_model


def _shards(sizes: ListSizes) -> float:
    return sizes.shards


def _all_downloads(sizes: ListSizes) -> float:
    return sizes.all_downloads


def _is_list(type_: GraphQLOutputType) -> bool:
    return isinstance(get_nullable_type(type_), GraphQLList)


def _is_given(node: FieldNode, argument: str) -> bool:
    return any(a.name.value == argument and not isinstance(a.value, NullValueNode) for a in node.arguments or ())
