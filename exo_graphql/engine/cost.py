"""What an operation will cost, told before it is executed, from the sizes that the lists have in the picture at hand.

The schema is a graph with cycles: `nodes { models { nodes { models …` is short to write, and each level multiplies.
So every list is priced by how long the longest of its kind is now: what is inside is counted as often. The unit is
about one field of one object: 4 µs of graphql-core's time, 0.3 µs where it is compiled. Estimates err on the dear side.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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
    ListValueNode,
    NullValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
)

from exo_graphql.engine.list_sizes import ListSizes

Size = Callable[[ListSizes], float]

# Lists of plain values (addresses, capabilities, reasons) are short.
_SHORT_LIST = 8.0
# A key is repeated in the response as often as its field: so many characters of it are as dear as the field.
_KEY_CHARACTERS = 32


# How long the list of a field is. With arguments it may be shorter; that is not counted on.
LISTS: Mapping[tuple[str, str], Size] = {
    ("Query", "nodes"): lambda s: s.nodes,
    ("Query", "models"): lambda s: s.models,
    ("Query", "downloads"): lambda s: s.started_downloads,
    ("Query", "tasks"): lambda s: s.tasks,
    ("Query", "placements"): lambda _: 8.0,  # shardings times engines
    ("Query", "operations"): lambda s: s.operations,
    ("Subscription", "nodes"): lambda s: s.nodes,
    ("Subscription", "downloads"): lambda s: s.started_downloads,
    ("Subscription", "tasks"): lambda s: s.tasks,
    ("Cluster", "nodes"): lambda s: s.nodes,
    ("Cluster", "models"): lambda s: s.loaded,
    ("Cluster", "tasks"): lambda s: s.tasks,
    ("Cluster", "downloads"): lambda s: s.started_downloads,
    ("Cluster", "operations"): lambda s: s.operations,
    ("Node", "models"): lambda s: s.models_on_node,
    ("Node", "downloads"): lambda s: s.started_on_node,
    ("Node", "tasks"): lambda s: s.tasks,
    ("Node", "connections"): lambda s: s.connections,
    ("Model", "instances"): lambda s: s.instances_of_model,
    ("Model", "nodes"): lambda s: s.nodes_of_model,
    ("Model", "downloads"): lambda s: s.started_of_model,
    ("Model", "tasks"): lambda s: s.tasks,
    ("ModelStatus", "nodes"): lambda s: s.nodes_of_model,
    ("ModelStatus", "instances"): lambda s: s.instances_of_model,
    ("Instance", "shards"): lambda s: s.shards,
    ("Placement", "nodes"): lambda s: s.nodes,
    ("Operation", "steps"): lambda s: s.steps,
    ("Operation", "loads"): lambda s: s.models_of_operation,
    ("Operation", "unloads"): lambda s: s.models_of_operation,
    ("ModelNotLoaded", "loaded"): lambda s: s.loaded,
    ("InsufficientMemory", "loaded"): lambda s: s.loaded,
    ("InsufficientMemory", "unloadToFit"): lambda s: s.loaded,
    ("DownloadPayload", "results"): lambda s: s.nodes,
}
# The same where `status` asks for the merely possible downloads, too.
_BY_STATUS: Mapping[str, Size] = {
    "Query": lambda s: s.all_downloads,
    "Node": lambda s: s.downloads_on_node,
    "Model": lambda s: s.nodes,
}
# What finding costs besides: each of these may look at every model, and compares names where there is none such.
_LOOKUPS: Mapping[str, frozenset[str]] = {
    "Query": frozenset({"model", "modelStatus", "models", "placements"}),
    "Subscription": frozenset({"modelStatus"}),
}
_LOOKUP_ARGUMENTS = frozenset({"model", "search"})
# A walk over the tasks, and the shards, for each node or model that is asked.
_WALKS = frozenset({("Node", "tasks"), ("Model", "tasks")})
_WISHES = frozenset({("Query", "placements")})


@dataclass(slots=True)
class Cost:
    """The estimate for one operation. `wishes` counts the fields that ask exo itself, each before any result."""

    total: float
    wishes: int
    sizes: tuple[tuple[Size, float], ...] = field(repr=False)
    """What the estimate depends on; as long as these are so, it holds."""
    named: tuple[tuple[str, int], ...] = ()
    """Variables that list names, and how many fields look for them: each name is one more."""

    def with_names(self, variables: Mapping[str, object] | None) -> float:
        """The estimate with the names that are in variables."""
        given = ((variables or {}).get(name) for name, _ in self.named)
        lengths = (len(value) if isinstance(value, list) else 1 for value in given)
        return self.total + sum(length * times for length, (_, times) in zip(lengths, self.named, strict=True))

    def holds(self, sizes: ListSizes) -> bool:
        """Whether a new estimate would be the same."""
        return all(size(sizes) == value for size, value in self.sizes)


class Costs:
    """Estimates, kept as long as their operations are."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._introspection = _introspection_sizes(schema)
        # By identity: comparing two operations would compare all of their nodes.
        self._kept: dict[int, tuple[weakref.ref[OperationDefinitionNode], Cost]] = {}

    def of(self, document: DocumentNode, operation: OperationDefinitionNode, sizes: ListSizes) -> Cost:
        """The cost of a valid document's operation."""
        key = id(operation)
        kept = self._kept.get(key)
        if kept is not None and kept[1].holds(sizes):
            return kept[1]
        cost = _Estimate(self._schema, self._introspection, document, sizes).of(operation)
        self._kept[key] = weakref.ref(operation, lambda _: self._kept.pop(key, None)), cost
        return cost


class _Estimate:
    """One walk over one operation: linear in the document, since a fragment costs the same wherever it is spread."""

    def __init__(
        self,
        schema: GraphQLSchema,
        introspection: Mapping[tuple[str, str], float],
        document: DocumentNode,
        sizes: ListSizes,
    ) -> None:
        self._schema = schema
        self._introspection = introspection
        self._sizes = sizes
        self._used: dict[Size, float] = {}
        self._wishes = 0
        self._fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._named: Counter[str] = Counter()
        self._known: dict[tuple[str, str], tuple[float, int, Counter[str]]] = {}

    def of(self, operation: OperationDefinitionNode) -> Cost:
        root = self._schema.get_root_type(operation.operation)
        total = 0.0 if root is None else self._set(root, operation.selection_set)
        return Cost(total, self._wishes, tuple(self._used.items()), tuple(self._named.items()))

    def _set(self, parent: GraphQLNamedType, selection_set: SelectionSetNode) -> float:
        """What one object of the type costs."""
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
        known = self._known.get(key)
        if known is None:
            before, named = self._wishes, Counter(self._named)
            total = self._set(self._condition(parent, fragment), fragment.selection_set)
            self._known[key] = total, self._wishes - before, self._named - named
            return total
        self._wishes += known[1]
        self._named.update(known[2])
        return known[0]

    def _field(self, parent: GraphQLNamedType, node: FieldNode) -> float:
        if not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType):
            return 1.0
        definition = self._schema.get_field(parent, node.name.value)
        if definition is None:
            return 1.0
        key = node.alias.value if node.alias else node.name.value
        own = 1.0 + len(key) // _KEY_CHARACTERS + self._finding(parent.name, node)
        below = node.selection_set
        times = self._times(parent.name, node, definition)
        return own + times * (self._set(get_named_type(definition.type), below) if below is not None else 1.0)

    def _times(self, parent: str, node: FieldNode, definition: GraphQLField) -> float:
        """How many objects, or values beyond the first, a field has."""
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
            size = _BY_STATUS.get(parent, size)
        if name == "tasks" and (_is_given(node, "status") or _is_given(node, "kind")):
            size = _all_tasks
        # What this table does not know is dear rather than free.
        return self._measured(size) if size is not None else _UNKNOWN_LIST

    def _finding(self, parent: str, node: FieldNode) -> float:
        name = node.name.value
        if parent == "Mutation" or (parent, name) in _WISHES:
            self._wishes += 1
        extra = self._names(node) if (parent, name) in _WISHES else 0.0
        if name in _LOOKUPS.get(parent, ()) or any(_is_given(node, argument) for argument in _LOOKUP_ARGUMENTS):
            extra += self._measured(_models)
        if name == "node" or _is_given(node, "node"):
            extra += self._measured(_nodes) / 10
        if (parent, name) in _WALKS:
            extra += (self._measured(_tasks) + self._measured(_loaded) * self._measured(_shards)) / 50
        if parent == "Query" and name == "downloads" and node.arguments:
            extra += self._measured(_all_downloads) / 50
        return extra

    def _names(self, node: FieldNode) -> float:
        """Names that a field lists, each of which is looked for. Those in variables are counted with their values."""
        count = 0.0
        for given in node.arguments or ():
            if isinstance(given.value, ListValueNode):
                count += len(given.value.values)
            elif isinstance(given.value, VariableNode):
                self._named[given.value.name.value] += 1
        return count

    def _measured(self, size: Size) -> float:
        value = self._used.get(size)
        if value is None:
            value = self._used[size] = size(self._sizes)
        return value


_UNKNOWN_LIST = 1000.0


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


def _introspection_sizes(schema: GraphQLSchema) -> Mapping[tuple[str, str], float]:
    """How long the lists of introspection are: exactly for all types at once, on average for those within."""
    types = [type_ for type_ in schema.type_map.values() if isinstance(type_, GraphQLObjectType)]
    fields = [f for type_ in types for f in type_.fields.values()]
    # A field's type is more often a large one than a type picked at random.
    met = [get_named_type(f.type) for f in fields]
    mean_of_met = sum(len(t.fields) for t in met if isinstance(t, GraphQLObjectType)) / max(1, len(fields))
    mean = sum(len(t.fields) for t in types) / max(1, len(schema.type_map))
    arguments = sum(len(f.args) for f in fields) / max(1, len(fields))
    return {
        ("__Schema", "types"): float(len(schema.type_map)),
        ("__Schema", "directives"): float(len(schema.directives)),
        ("__Type", "fields"): max(mean, mean_of_met),
        ("__Type", "inputFields"): 1.0,
        ("__Type", "interfaces"): 1.0,
        ("__Type", "possibleTypes"): 1.0,
        ("__Type", "enumValues"): 2.0,
        ("__Field", "args"): max(1.0, arguments),
        ("__Directive", "args"): 2.0,
    }
