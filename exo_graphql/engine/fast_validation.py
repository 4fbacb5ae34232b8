"""Usual documents, which one walk proves valid.

graphql-core's validation runs some thirty rules over a document, and visits each node for each of them. Here queries as
clients write them are proved valid in a tenth of the time: their fields, arguments, variables and fragments exist and
fit, everything declared is used, and fields with one response key are the same field. A document that is not proved
valid is left to the rules, which also report what is wrong with it; so all that is unusual may be left to them:
introspection, input objects, directives other than @skip and @include, different fields under one key.

The walk is along the response: the selections of one place, fragments included, are looked at together. In

    { node(id: 1) { id ...Name } node(id: 1) { status } }  fragment Name on Node { id friendlyName }

the two `node` make one place, at which `id`, `friendlyName` and `status` are selected. So a fragment is walked wherever
it is spread, up to a number of fields.

The rules also leave 1,000 objects for each document in cycles, together with its tree: the collector found 1.8 million
a minute while 100 clients subscribed to 200 texts of their own, a tenth of that since subscriptions are proved too.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from graphql import (
    ArgumentNode,
    BooleanValueNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLError,
    GraphQLField,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    ListValueNode,
    NameNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    Undefined,
    ValueNode,
    VariableNode,
    do_types_overlap,
    get_named_type,
    is_input_type,
    is_leaf_type,
    is_required_argument,
    print_ast,
    recommended_rules,
    specified_rules,
    type_from_ast,
)
from graphql.execution import get_argument_values
from graphql.validation import NoSchemaIntrospectionCustomRule
from graphql.validation.rules.variables_in_allowed_position import allowed_variable_usage

PROVED_RULES = frozenset({*specified_rules, *recommended_rules, NoSchemaIntrospectionCustomRule})
"""The rules that are proved."""
# Selections, fragments expanded: 2 ms. What has more is left to the rules, on a thread.
_MAX_FIELDS = 1_000
_CONDITION = GraphQLNonNull(GraphQLBoolean)
_VALUE = NameNode(value="value")

_Composite = GraphQLObjectType | GraphQLInterfaceType
_Set = tuple[_Composite, SelectionSetNode, str | None]
"""The type of what is selected from, the selections, and the fragment in whose text these are."""


def is_surely_valid(schema: GraphQLSchema, document: DocumentNode, max_pairs: int) -> bool:
    """Whether the document certainly passes `PROVED_RULES`, and has no more pairs (see `complexity`) than given.

    False means unknown. It is walked to the end only if it has few fields, fragments expanded.
    """
    fragments: dict[str, FragmentDefinitionNode] = {}
    operations: dict[str | None, OperationDefinitionNode] = {}
    for node in document.definitions:
        name = None if getattr(node, "name", None) is None else node.name.value  # type: ignore[attr-defined]
        if isinstance(node, OperationDefinitionNode) and name not in operations:
            operations[name] = node
        elif isinstance(node, FragmentDefinitionNode) and name not in fragments:
            fragments[node.name.value] = node
        else:
            return False
        if node.directives:
            return False
    if None in operations and len(operations) > 1:
        return False
    proofs = [_Proof(schema, fragments, operation) for operation in operations.values()]
    if not all(proof.holds() for proof in proofs) or sum(proof.pairs for proof in proofs) > max_pairs:
        return False
    spread = {fragment for proof in proofs for fragment in proof.spread}
    return spread == fragments.keys() and _has_no_circle(proof.within for proof in proofs)


class _Proof:
    """The walk over one operation."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        operation: OperationDefinitionNode,
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._operation = operation
        self._variables: dict[str, tuple[GraphQLInputType, ValueNode | None]] = {}
        """Type and default."""
        self._used: set[str] = set()
        """Variables."""
        self._count = 0
        """Selections walked."""
        self.pairs = 0
        self.spread: set[str] = set()
        """Fragments."""
        self.within: dict[str, set[str]] = {}
        """By fragment: those that are spread in its text."""

    def holds(self) -> bool:
        operation = self._operation
        root = self._schema.get_root_type(operation.operation)
        if root is None or not self._declare():
            return False
        if operation.operation is OperationType.SUBSCRIPTION and not _is_single(operation.selection_set):
            return False
        places: list[list[_Set]] = [[(root, operation.selection_set, None)]]
        while places:
            below = self._place(places.pop())
            if below is None or self._count > _MAX_FIELDS:
                return False
            places.extend(below)
        return len(self._used) == len(self._variables)

    def _declare(self) -> bool:
        """Whether the variables are declared correctly."""
        definitions = self._operation.variable_definitions or ()
        for node in definitions:
            type_ = type_from_ast(self._schema, node.type)
            if node.directives or not is_input_type(type_):
                return False
            default = node.default_value
            if default is not None and not _is_literal_of(type_, default):
                return False
            self._variables[node.variable.name.value] = type_, default
        return len(self._variables) == len(definitions)

    def _place(self, sets: list[_Set]) -> Iterable[list[_Set]] | None:
        """The places below one place of the response; None if its selections are not proved."""
        known: dict[str, tuple[FieldNode, GraphQLField | None]] = {}
        """The first field with each key."""
        again: Counter[str] = Counter()
        """By key: how many fields have it besides."""
        below: dict[str, list[_Set]] = {}
        spread: set[str] = set()
        while sets:
            type_, selection_set, fragment = sets.pop()
            fields = type_.fields
            self._count += len(selection_set.selections)
            for node in selection_set.selections:
                if node.directives and not self._are_conditions(node.directives):
                    return None
                if not isinstance(node, FieldNode):
                    inner = self._inner(type_, node, fragment)
                    if inner is None:
                        return None
                    if not isinstance(node, FragmentSpreadNode):
                        sets.append(inner)
                    elif node.name.value not in spread:
                        spread.add(node.name.value)
                        sets.append(inner)
                    continue
                name = node.name.value
                key = name if node.alias is None else node.alias.value
                field = fields.get(name)
                first = known.get(key)
                if first is None:
                    known[key] = node, field
                else:
                    if not _can_merge(*first, node, field):
                        return None
                    again[key] += 1
                    self.pairs += again[key]
                if field is None:
                    if name != "__typename" or node.arguments or node.selection_set is not None:
                        return None
                    continue
                if (node.arguments or field.args) and not self._fit(field, node.arguments or ()):
                    return None
                of_type = get_named_type(field.type)
                if isinstance(of_type, _Composite) and node.selection_set is not None:
                    below.setdefault(key, []).append((of_type, node.selection_set, fragment))
                elif not is_leaf_type(of_type) or node.selection_set is not None:
                    return None
        self.pairs += len(spread) * (len(spread) - 1) // 2
        return below.values()

    def _inner(self, type_: _Composite, node: object, fragment: str | None) -> _Set | None:
        """What a fragment selects; None if it does not fit here."""
        if isinstance(node, FragmentSpreadNode):
            name = node.name.value
            spread = self._fragments.get(name)
            if spread is None:
                return None
            self.spread.add(name)
            if fragment is not None:
                self.within.setdefault(fragment, set()).add(name)
            condition, selection_set, fragment = spread.type_condition, spread.selection_set, name
        elif isinstance(node, InlineFragmentNode):
            if node.type_condition is None:
                return type_, node.selection_set, fragment
            condition, selection_set = node.type_condition, node.selection_set
        else:
            return None
        on_type = self._schema.get_type(condition.name.value)
        if not isinstance(on_type, _Composite) or not do_types_overlap(self._schema, on_type, type_):
            return None
        return on_type, selection_set, fragment

    def _fit(self, field: GraphQLField, arguments: Iterable[ArgumentNode]) -> bool:
        """Whether these are the arguments of that field."""
        given: dict[str, ValueNode] = {}
        for argument in arguments:
            name, value = argument.name.value, argument.value
            definition = field.args.get(name)
            if definition is None or name in given:
                return False
            given[name] = value
            if isinstance(value, VariableNode):
                if not self._is_usable(value, definition.type):
                    return False
            elif not _is_literal_of(definition.type, value):
                return False
        return all(name in given or not is_required_argument(definition) for name, definition in field.args.items())

    def _are_conditions(self, directives: Iterable[DirectiveNode]) -> bool:
        """Whether they are @skip and @include, each once at most."""
        names = set()
        for directive in directives:
            name, arguments = directive.name.value, directive.arguments or ()
            if name not in ("skip", "include") or name in names or [each.name.value for each in arguments] != ["if"]:
                return False
            names.add(name)
            value = arguments[0].value
            if not isinstance(value, BooleanValueNode) and not self._is_usable(value, _CONDITION):
                return False
        return True

    def _is_usable(self, node: ValueNode, type_: GraphQLInputType) -> bool:
        """Whether it is a variable that fits a type. It counts as used."""
        if not isinstance(node, VariableNode):
            return False
        declared = self._variables.get(node.name.value)
        self._used.add(node.name.value)
        # Without the argument's default, which would allow some more.
        return declared is not None and allowed_variable_usage(self._schema, *declared, type_, Undefined)


def _has_no_circle(graphs: Iterable[Mapping[str, set[str]]]) -> bool:
    """Whether no fragment is spread in itself."""
    try:
        for graph in graphs:
            TopologicalSorter(graph).prepare()
    except CycleError:
        return False
    return True


def _is_single(selection_set: SelectionSetNode) -> bool:
    """Whether it selects one field without a condition, and none of introspection."""
    nodes = selection_set.selections
    if len(nodes) != 1 or nodes[0].directives:
        return False
    return isinstance(nodes[0], FieldNode) and not nodes[0].name.value.startswith("__")


def _can_merge(one: FieldNode, its: GraphQLField | None, other: FieldNode, of_other: GraphQLField | None) -> bool:
    """Whether two fields with one key are the same field with the same arguments."""
    if one.name.value != other.name.value or _printed(one.arguments) != _printed(other.arguments):
        return False
    return its is of_other or (its is not None and of_other is not None and str(its.type) == str(of_other.type))


def _printed(arguments: Iterable[ArgumentNode] | None) -> list[str]:
    return sorted(print_ast(argument) for argument in arguments or ())


def _is_literal_of(type_: GraphQLInputType, value: ValueNode) -> bool:
    """Whether it is a value of the type, without variables and input objects."""
    if not _is_literal(value):
        return False
    field = GraphQLField(GraphQLBoolean, args={"value": GraphQLArgument(type_)})
    try:
        get_argument_values(field, FieldNode(name=_VALUE, arguments=(ArgumentNode(name=_VALUE, value=value),)))
    except (GraphQLError, ValueError):
        return False
    return True


def _is_literal(value: ValueNode) -> bool:
    if isinstance(value, ListValueNode):
        return all(_is_literal(item) for item in value.values)
    return not isinstance(value, VariableNode | ObjectValueNode)
