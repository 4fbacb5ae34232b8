"""The tools, resources and prompts as a server of the official SDK. The only module that imports the SDK at once.

The revision of the protocol decides two things. Up to 2025-11-25 a client is asked and notified over its session; from
2026-07-28 on a tool answers with what it needs to know (`InputRequiredResult`), and changes are sent on the stream of
`subscriptions/listen`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import mcp_types as types
import orjson
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from exo_graphql import __version__
from exo_graphql.documents import document
from exo_graphql.mcp import prompts, resources
from exo_graphql.mcp.call import call
from exo_graphql.mcp.graph import Graph, GraphError, Json, data_of
from exo_graphql.mcp.tools import TOOLS, Effect, ToolSpec

Context = ServerRequestContext[Any, Any]
GraphOf = Callable[[Context], Graph]
"""The access of the caller that sends a request."""

INSTRUCTIONS = (
    "Controls an exo cluster, which serves large language models. To change what is loaded: `find_models`, `plan`, "
    "`apply` its hash, `wait` for the operation. Sizes are GiB. Unknown values are null or absent, never 0. Errors "
    "name a code, a suggestion and the choices that exist."
)
# Resources that one client may follow at once.
MAX_FOLLOWED = 50
_CONFIRM = "confirm"
_JSON = "application/json"


def build(graph_of: GraphOf) -> Server[Any]:
    """The server. Its tools act for the caller that `graph_of` names."""
    handlers = _Handlers(graph_of)
    return Server(
        "exo-graphql",
        version=__version__,
        title="exo cluster",
        instructions=INSTRUCTIONS,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_templates,
        on_read_resource=handlers.read_resource,
        on_subscribe_resource=handlers.subscribe,
        on_unsubscribe_resource=handlers.unsubscribe,
        on_subscriptions_listen=handlers.listen,
        on_list_prompts=handlers.list_prompts,
        on_get_prompt=handlers.get_prompt,
    )


class _Handlers:
    def __init__(self, graph_of: GraphOf) -> None:
        self._graph_of = graph_of

    # Tools

    async def list_tools(self, ctx: Context, _: object) -> types.ListToolsResult:
        graph = self._graph_of(ctx)
        operates, queries = await graph.may_operate(), await graph.may_query()
        allowed = [t for t in TOOLS if (operates or not t.operators_only) and (queries or not t.free_text)]
        return types.ListToolsResult(tools=[definition(tool) for tool in allowed])

    async def call_tool(
        self, ctx: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        graph, arguments = self._graph_of(ctx), params.arguments or {}
        try:
            if params.name in ("apply", "cancel") and await graph.may_operate():
                asked = await _confirmed(ctx, params, graph, arguments)
                if asked is not None:
                    return asked
            result = await call(graph, params.name, arguments, ctx.session.report_progress)
        except GraphError as error:
            return types.CallToolResult(content=[_text(error.report)], is_error=True)
        return types.CallToolResult(content=[_text(result)], structured_content=result)

    # Resources

    async def list_resources(self, ctx: Context, _: object) -> types.ListResourcesResult:
        with _as_protocol_errors():
            found = await resources.listed(self._graph_of(ctx))
        return types.ListResourcesResult(
            resources=[
                types.Resource(uri=uri, name=name, description=description, mime_type=_JSON)
                for uri, name, description in found
            ]
        )

    async def list_templates(self, _: Context, __: object) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    uri_template=template, name=name, title=title, description=description, mime_type=_JSON
                )
                for template, name, title, description in resources.TEMPLATES
            ]
        )

    async def read_resource(self, ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        uri = str(params.uri)
        with _as_protocol_errors():
            content = await resources.read(self._graph_of(ctx), uri)
        text = orjson.dumps(content).decode()
        return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=_JSON, text=text)])

    async def subscribe(self, ctx: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        followed, uri = _followed(ctx), str(params.uri)
        with _as_protocol_errors():
            resources.address_of(uri)
        if len(followed) >= MAX_FOLLOWED and uri not in followed:
            raise MCPError(types.INVALID_PARAMS, f"{MAX_FOLLOWED} resources are followed: unsubscribe from one first.")

        async def changed() -> None:
            await ctx.session.send_resource_updated(uri)

        if uri not in followed:
            task = asyncio.create_task(_follow(self._graph_of(ctx), uri, changed), name=f"mcp: {uri}")
            followed[uri] = task
            task.add_done_callback(lambda _: followed.pop(uri, None) if followed.get(uri) is task else None)
        return types.EmptyResult()

    async def unsubscribe(self, ctx: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        task = _followed(ctx).pop(str(params.uri), None)
        if task is not None:
            task.cancel()
        return types.EmptyResult()

    async def listen(
        self, ctx: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        bus, graph = InMemorySubscriptionBus(), self._graph_of(ctx)
        wanted = dict.fromkeys(str(uri) for uri in params.notifications.resource_subscriptions or ())
        async with _followers(graph, list(wanted)[:MAX_FOLLOWED], lambda uri: bus.publish(ResourceUpdated(uri))):
            return await ListenHandler(bus)(ctx, params)

    # Prompts

    async def list_prompts(self, _: Context, __: object) -> types.ListPromptsResult:
        return types.ListPromptsResult(
            prompts=[
                types.Prompt(
                    name=prompt.name,
                    title=prompt.title,
                    description=prompt.description,
                    arguments=[
                        types.PromptArgument(name=name, description=text, required=True)
                        for name, text in prompt.arguments.items()
                    ],
                )
                for prompt in prompts.PROMPTS
            ]
        )

    async def get_prompt(self, _: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        prompt, given = prompts.BY_NAME.get(params.name), params.arguments or {}
        if prompt is None:
            raise MCPError(types.INVALID_PARAMS, f"No prompt {params.name!r}; there are {', '.join(prompts.BY_NAME)}.")
        missing = [name for name in prompt.arguments if not given.get(name)]
        if missing:
            raise MCPError(types.INVALID_PARAMS, f"The prompt {prompt.name} needs {', '.join(missing)}.")
        text = prompt.text.format(**{name: given[name] for name in prompt.arguments})
        message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
        return types.GetPromptResult(description=prompt.description, messages=[message])


def definition(tool: ToolSpec) -> types.Tool:
    """A tool as clients see it."""
    reads = tool.effect is Effect.READS
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.returns,
        annotations=types.ToolAnnotations(
            read_only_hint=reads,
            destructive_hint=not reads,
            # A hash is applied once, and an operation is cancelled once.
            idempotent_hint=True,
            open_world_hint=tool.open_world,
        ),
    )


def _text(value: Json) -> types.TextContent:
    """The same as text, without nulls: an absent value is unknown, too, and costs no tokens."""
    return types.TextContent(type="text", text=orjson.dumps(_without_nulls(value)).decode())


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


@contextlib.contextmanager
def _as_protocol_errors() -> Iterator[None]:
    try:
        yield
    except GraphError as error:
        raise MCPError(types.INVALID_PARAMS, str(error), error.report) from error


# Asking the person before something changes


async def _confirmed(
    ctx: Context, params: types.CallToolRequestParams, graph: Graph, arguments: Mapping[str, Any]
) -> types.CallToolResult | types.InputRequiredResult | None:
    """None where the person agrees, or the client cannot ask; else the answer to the call."""
    capabilities = ctx.session.client_capabilities
    if capabilities is None or capabilities.elicitation is None:
        return None
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        given = (params.input_responses or {}).get(_CONFIRM)
        if given is None:
            message = await _question(params.name, graph, arguments)
            if message is None:
                return None
            request = types.ElicitRequest(
                params=types.ElicitRequestFormParams(message=message, requested_schema=schema)
            )
            return types.InputRequiredResult(input_requests={_CONFIRM: request})
        action = getattr(given, "action", None)
    elif ctx.session.can_send_request:
        message = await _question(params.name, graph, arguments)
        if message is None:
            return None
        action = (await ctx.session.elicit_form(message, schema, ctx.request_id)).action
    else:
        return None
    if action == "accept":
        return None
    raise GraphError("DECLINED", "The person did not agree, so nothing was changed.", "Ask what they want instead.")


async def _question(name: str, graph: Graph, arguments: Mapping[str, Any]) -> str | None:
    """What to ask; None where nothing is done: the plan has been applied, and its operation is the answer again."""
    if name == "cancel":
        return f"Cancel operation {arguments.get('operation')}, and undo what it did?"
    plan = data_of(await graph.ask(document("mcp/confirm"), {"hash": arguments.get("hash")}))["plan"]
    if plan["applied"] is not None:
        return None
    if plan["error"] is not None:
        error = plan["error"]
        raise GraphError(error["code"], error["message"], error["suggestion"])
    pauses = "".join(f"\n- pause the deployment {each['name']}" for each in plan["pauses"])
    return "Apply this plan?\n- " + "\n- ".join(plan["steps"] or ["nothing has to be done"]) + pauses


# Following resources


def _followed(ctx: Context) -> dict[str, asyncio.Task[None]]:
    """What this session follows, by address. It ends with the session."""
    connection = ctx.session._connection  # noqa: SLF001  # the SDK shows it to handlers in no other way
    followed: dict[str, asyncio.Task[None]] | None = connection.state.get("followed")
    if followed is None:
        followed = connection.state["followed"] = {}
        connection.exit_stack.callback(lambda: [task.cancel() for task in list(connection.state["followed"].values())])
    return followed


@contextlib.asynccontextmanager
async def _followers(graph: Graph, uris: list[str], changed: Callable[[str], Awaitable[None]]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(_follow(graph, uri, lambda uri=uri: changed(uri))) for uri in uris]  # type: ignore[misc]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(graph: Graph, uri: str, changed: Callable[[], Awaitable[None]]) -> None:
    """Calls back at each change of a resource, until the resource can change no more."""
    with contextlib.suppress(GraphError):
        address = resources.address_of(uri)
        async with contextlib.aclosing(graph.follow(address.follow, address.follow_variables)) as answers:
            first = True
            async for answer in answers:
                if not first:
                    await changed()
                first = answer.get("errors") is not None and first
