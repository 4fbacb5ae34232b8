// GraphiQL on this server: its fetcher (HTTP, and graphql-transport-ws for subscriptions), the token, examples.
// React, ReactDOM, GraphiQL, GraphiQLPluginExplorer and graphqlWs are globals of the scripts loaded before.

import { askToken, authorization } from "./token.js";

const { createElement: h, useEffect, useRef } = React;
const { useEditorContext } = GraphiQL.React;

// The page is served at the endpoint itself; a proxy may serve it below any path.
const url = new URL(location.pathname, location.href);
const socketUrl = new URL(url);
socketUrl.protocol = url.protocol === "https:" ? "wss:" : "ws:";

/** Adds the token of this tab; an Authorization header from the headers editor takes precedence. */
function withToken(headers) {
  const own = Object.keys(headers).some((name) => name.toLowerCase() === "authorization");
  const token = authorization();
  return own || token === null ? headers : { ...headers, Authorization: token };
}

async function authorizedFetch(input, init) {
  const response = await fetch(input, { ...init, headers: withToken(init.headers) });
  if (response.status === 401 && (await askToken())) return authorizedFetch(input, init);
  return response;
}

/** A websocket for one subscription, with the headers editor's content in connection_init. */
function socketClient(headers) {
  return {
    subscribe(payload, sink) {
      let disposed = false;
      let dispose = () => {};
      const start = () => {
        const client = graphqlWs.createClient({
          url: socketUrl.href,
          connectionParams: () => withToken(headers),
          // The codes 4000 to 4999 are refusals; only a lost connection is worth another try.
          shouldRetry: (event) => event instanceof CloseEvent && (event.code < 4000 || event.code > 4999),
        });
        dispose = client.subscribe(payload, {
          next: (message) => sink.next(message),
          complete: () => sink.complete(),
          error: async (error) => {
            const refused = error instanceof CloseEvent && (error.code === 4401 || error.code === 4403);
            if (refused && (await askToken()) && !disposed) start();
            else sink.error(error);
          },
        });
      };
      start();
      return () => {
        disposed = true;
        dispose();
      };
    },
  };
}

/**
 * Parses the document again. After a change of tab, GraphiQL passes the parsed document of the tab before for a moment:
 * it would name that tab's operation, and send a subscription as a query.
 */
function parsed(params, options) {
  let document;
  try {
    document = GraphiQL.GraphQL.parse(params.query);
  } catch {
    return [params, options]; // the server reports the syntax error
  }
  const operations = document.definitions.filter(({ kind }) => kind === "OperationDefinition");
  const known = operations.some(({ name }) => name?.value === params.operationName);
  const operationName = !known && operations.length === 1 ? operations[0].name?.value : params.operationName;
  return [{ ...params, operationName }, { ...options, documentAST: document }];
}

function fetcher(params, options) {
  const send = GraphiQL.createFetcher({
    url: url.href,
    fetch: authorizedFetch,
    enableIncrementalDelivery: false,
    wsClient: socketClient(options?.headers ?? {}),
  });
  return send(...parsed(params, options));
}

function ExamplesIcon() {
  return h(
    "svg",
    { viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", strokeWidth: 1.5, height: "1em", "aria-hidden": true },
    h("path", { d: "M4 5h16M4 10h10M4 15h16M4 20h10", strokeLinecap: "round" }),
  );
}

/** The sidebar that lists the examples; a click opens one in a new tab. */
function Examples({ examples }) {
  const { addTab, tabs, queryEditor, variableEditor } = useEditorContext({ nonNull: true });
  const chosen = useRef(null);
  // A new tab starts with empty editors: fill them once it is open.
  useEffect(() => {
    if (chosen.current === null) return;
    queryEditor?.setValue(chosen.current.query);
    variableEditor?.setValue(chosen.current.variables);
    chosen.current = null;
  }, [tabs.length]);
  const open = (example) => {
    chosen.current = example;
    addTab();
  };
  const item = (example) =>
    h(
      "li",
      { key: example.name },
      h(
        "button",
        { type: "button", onClick: () => open(example) },
        `${example.kind} ${example.name}`,
        h("small", null, example.description),
      ),
    );
  return h("section", { "aria-label": "Examples" }, h("h2", null, "Examples"), h("ul", { className: "examples" }, examples.map(item)));
}

/** The tabs of a first visit: one example of each kind. */
function firstTabs(examples) {
  const kinds = ["query", "subscription", "mutation"];
  return kinds
    .map((kind) => examples.find((example) => example.kind === kind))
    .filter((example) => example !== undefined)
    .map(({ query, variables }) => ({ query, variables }));
}

const response = await fetch(new URL("graphiql/assets/examples.json", url));
const examples = response.ok ? await response.json() : [];
const defaultTabs = firstTabs(examples);
ReactDOM.createRoot(document.getElementById("graphiql")).render(
  h(GraphiQL, {
    fetcher,
    plugins: [
      GraphiQLPluginExplorer.explorerPlugin(),
      { title: "Examples", icon: ExamplesIcon, content: () => h(Examples, { examples }) },
    ],
    ...(defaultTabs.length > 0 && { defaultTabs }),
    defaultEditorToolsVisibility: "variables",
    inputValueDeprecation: true,
    schemaDescription: true,
    shouldPersistHeaders: false, // a token typed there must not outlive the tab
  }),
);
