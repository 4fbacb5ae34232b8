"""`/openapi.json`: the table of routes in OpenAPI 3.1.

The answers are described from the routes' documents: each field is that of the schema which its alias stands for, with
the schema's description, and what `shaping` makes of it. So the description cannot differ from the answers.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    parse,
)

from exo_graphql import __version__
from exo_graphql.documents import document
from exo_graphql.rest.routes import ROUTES, Route
from exo_graphql.rest.shaping import INSTANCE_TYPES, LOWERED, MERGED, unknown
from exo_graphql.rest.validation import BodyField

Json = dict[str, Any]

_TYPES: Mapping[str, str] = {"Int": "integer", "Float": "number", "Boolean": "boolean", "Bytes": "integer"}
# Statuses of errors that every route can answer, those of routes that read a body, and those of routes that act.
_EVERYWHERE, _WITH_BODY, _ACTING = (401, 403, 421, 429, 500, 503), (408, 413, 415), (504,)
# Refused before a route is found, because of the request's host or origin: in GraphQL's form.
_OF_POLICY = frozenset({403, 421})
_NO_VALUE: Mapping[str, Json] = {
    "uptime_seconds": {"type": "null", "description": "Always null: exo does not publish it."},
    "placement": {"type": "object", "description": "Always empty: see the model's status."},
    "instance_id": {"type": "null", "description": "Always null: the instance does not exist yet."},
}


def description(schema: GraphQLSchema) -> Json:
    """The whole description."""
    components: Json = dict(_ERRORS)
    paths: Json = {}
    for route in ROUTES:
        if route.method == "GET" or schema.mutation_type is not None:
            answer = _Answer(schema, components, route).schema
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, answer)
    used = {int(status) for path in paths.values() for each in path.values() for status in each["responses"]} - {
        200,
        304,
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "exo-graphql: REST",
            "version": __version__,
            "description": "The routes of exo PR #1727 on the values of exo-graphql. GraphQL at `graphql` can select, "
            'subscribe, plan and wait; these routes cannot. Fields that are not nullable are 0, "Unknown" or empty '
            "where GraphQL answers null.",
        },
        "servers": [{"url": "."}],
        "security": [{}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "responses": {str(status): _error(status) for status in sorted(used)},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


_ERRORS: Json = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "code", "reason", "suggestion"],
                "properties": {
                    "message": {"type": "string", "description": "What is wrong, and what to do about it."},
                    "type": {"type": "string", "description": "The phrase of the status."},
                    "code": {"type": "integer", "description": "The status."},
                    "reason": {"type": "string", "description": "GraphQL's code, such as MODEL_NOT_FOUND."},
                    "suggestion": {"type": ["string", "null"], "description": "What to do about it."},
                },
                "additionalProperties": True,
            }
        },
        "additionalProperties": False,
    },
    "Refusal": {
        "type": "object",
        "required": ["errors"],
        "description": "The host or the origin of the request is not allowed.",
        "properties": {"errors": {"type": "array", "items": {"type": "object"}}},
    },
}


def _operation(route: Route, answer: Json) -> Json:
    statuses = {
        *route.statuses,
        *_EVERYWHERE,
        *(_WITH_BODY if route.body else ()),
        *(() if route.method == "GET" else _ACTING),
    }
    operation: Json = {
        "operationId": route.document,
        "summary": route.summary,
        "responses": {
            "200": {"description": "Accepted." if route.method != "GET" else "The answer.", "content": _json(answer)},
            **({"304": {"description": "The client's If-None-Match names it."}} if route.method == "GET" else {}),
            **{str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)},
        },
    }
    parameters = [_PARAMETERS[name] for name in _PARAMETERS if f"{{{name}}}" in route.path]
    if parameters:
        operation["parameters"] = parameters
    if route.body:
        operation["requestBody"] = {"required": True, "content": _json(_body(route.body))}
    return operation


_PARAMETERS: Mapping[str, Json] = {
    name: {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": text}
    for name, text in {
        "node_id": "The node's id or friendly name.",
        "model_id": "The model's full id or short name. Slashes may be written as they are.",
    }.items()
}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _error(status: int) -> Json:
    reference = {"$ref": "#/components/schemas/Error"}
    refusal = {"$ref": "#/components/schemas/Refusal"}
    schema = {"anyOf": [reference, refusal]} if status in _OF_POLICY else reference
    return {"description": HTTPStatus(status).phrase, "content": _json(schema)}


def _body(fields: tuple[BodyField, ...]) -> Json:
    properties: Json = {}
    for field in fields:
        properties[field.name] = {
            "type": "string" if field.kind is str else "integer",
            "description": field.description,
            **({} if field.default is None else {"default": field.default}),
            **({"enum": list(field.choices)} if field.choices else {}),
        }
    return {
        "type": "object",
        "required": [field.name for field in fields if field.default is None],
        "properties": properties,
    }


class _Answer:
    """Describes the answer of one route. What a fragment selects for a field becomes a component."""

    def __init__(self, schema: GraphQLSchema, components: Json, route: Route) -> None:
        self._components = components
        definitions = parse(document(f"rest/{route.document}").text, no_location=True).definitions
        self._fragments = {d.name.value: d for d in definitions if isinstance(d, FragmentDefinitionNode)}
        self._schema = schema
        (operation,) = (d for d in definitions if isinstance(d, OperationDefinitionNode))
        root = schema.get_root_type(operation.operation)
        properties = {} if root is None else dict(self._properties(root, operation.selection_set))
        for name, value in route.constants.items():
            known = properties.get(name)
            if known is None:
                properties[name] = _NO_VALUE[name]
            elif value is None:
                properties[name] = {**known, "type": [known["type"], "null"]}
        self.schema = _object(properties)

    def _properties(self, type_: GraphQLObjectType, selections: SelectionSetNode) -> Iterator[tuple[str, Json]]:
        for node in selections.selections:
            if isinstance(node, FragmentSpreadNode):
                yield from self._properties(type_, self._fragments[node.name.value].selection_set)
            elif isinstance(node, FieldNode):
                key = (node.alias or node.name).value
                definition = type_.fields[node.name.value]
                named = get_named_type(definition.type)
                if key in _OF_SHARDS:
                    yield from _OF_SHARDS[key].items()
                elif key.startswith(MERGED):
                    yield from self._below(named, node)
                elif named is not self._schema.get_type("OperationError"):
                    yield key, self._field(key, definition.type, node, definition.description or "")

    def _below(self, named: Any, node: FieldNode) -> Iterator[tuple[str, Json]]:
        if node.selection_set is not None:
            yield from self._properties(named, node.selection_set)

    def _field(self, key: str, type_: GraphQLOutputType, node: FieldNode, text: str) -> Json:
        nullable = not isinstance(type_, GraphQLNonNull)
        named: Any = get_named_type(type_)
        if is_list_type(get_nullable_type(type_)):
            return {"type": "array", "description": text, "items": self._items(key, named, node)}
        if is_leaf_type(named):
            return _leaf(key, named, text, nullable=nullable)
        inner = self._only(named, node, "value")
        if inner is None:
            return {**self._reference(named, node), "description": text}
        definition, below = inner
        outer = definition.of_type if nullable and isinstance(definition, GraphQLNonNull) else definition
        return self._field(key, outer, below, text)

    def _items(self, key: str, named: Any, node: FieldNode) -> Json:
        if is_leaf_type(named):
            return _leaf("", named, "", nullable=False)
        for name in ("value", "values"):
            inner = self._only(named, node, name)
            if inner is not None:
                type_, below = inner
                return self._items(key, get_named_type(type_), below)
        return self._reference(named, node)

    def _only(self, type_: GraphQLObjectType, node: FieldNode, key: str) -> tuple[GraphQLOutputType, FieldNode] | None:
        """The type and the field behind this alias, if it is the only one selected."""
        selections = () if node.selection_set is None else node.selection_set.selections
        only = selections[0] if len(selections) == 1 else None
        if not isinstance(only, FieldNode) or only.alias is None or only.alias.value != key:
            return None
        return type_.fields[only.name.value].type, only

    def _reference(self, type_: GraphQLObjectType, node: FieldNode) -> Json:
        name = type_.name
        self._components[name] = {**_object(dict(self._below(type_, node))), "description": type_.description or ""}
        return {"$ref": f"#/components/schemas/{name}"}


def _leaf(key: str, named: Any, text: str, *, nullable: bool) -> Json:
    instead = unknown(key) if nullable else None
    kind: Json = {"type": _TYPES.get(named.name, "string")}
    if key == "timestamp":
        kind = {"type": "number"}
        text = f"{text} In seconds since 1970."
    elif key == "instance_type":
        kind["enum"] = [*INSTANCE_TYPES.values(), "unknown"]
    elif isinstance(named, GraphQLEnumType):
        values = [value.lower() if key in LOWERED else value for value in named.values]
        kind["enum"] = values if not nullable or "unknown" in values else [*values, "unknown"]
    if nullable and instead is None:
        kind["type"] = [kind["type"], "null"]
    elif nullable:
        text = f"{text} Here {_written(instead)} instead of null."
    return {**kind, **({"description": text} if text else {})}


def _written(value: object) -> str:
    return '""' if value == "" else str(value).removesuffix(".0") if not isinstance(value, bool) else str(value).lower()


def _object(properties: Json) -> Json:
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


_STRINGS: Json = {"type": "array", "items": {"type": "string"}}
_OF_SHARDS: Mapping[str, Json] = {
    "_shards": {
        "nodes": {**_STRINGS, "description": "Ids of the nodes that hold it, of those that are in the cluster."},
        "node_names": {**_STRINGS, "description": "Their friendly names."},
        "runner_statuses": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "By node id: the status that its runner reported.",
        },
    },
    "_loading": {},
    "_final": {},
}
