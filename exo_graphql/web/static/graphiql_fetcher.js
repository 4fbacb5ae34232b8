// How GraphiQL reaches this server: HTTP, and graphql-transport-ws for subscriptions; with the token; measured.

import { askToken, authorization } from "./token.js";

// The page is served at the endpoint itself; a proxy may serve it below any path.
export const url = new URL(location.pathname, location.href);
const socketUrl = new URL(url);
socketUrl.protocol = url.protocol === "https:" ? "wss:" : "ws:";

const listeners = new Set();
let measured = null;

/** What was measured of the last answer: `{ status, milliseconds, bytes, messages }`; null before the first. */
export function measurement() {
  return measured;
}

/** Calls `listener` at each new measurement; the result ends that. */
export function onMeasurement(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function report(now) {
  measured = now;
  for (const listener of listeners) listener();
}

/** Adds the token; an Authorization header from the headers editor takes precedence. */
function withToken(headers) {
  const own = Object.keys(headers).some((name) => name.toLowerCase() === "authorization");
  const token = authorization();
  return own || token === null ? headers : { ...headers, Authorization: token };
}

async function authorizedFetch(input, init) {
  const started = performance.now();
  const response = await fetch(input, { ...init, headers: withToken(init.headers) });
  if (response.status === 401 && (await askToken())) return authorizedFetch(input, init);
  const body = await response.arrayBuffer();
  // GraphiQL asks for the schema by itself.
  if (JSON.parse(init.body).operationName !== "IntrospectionQuery") {
    report({ status: response.status, milliseconds: performance.now() - started, bytes: body.byteLength, messages: null });
  }
  return new Response(body, response);
}

/** A websocket for one subscription, with the headers editor's content in connection_init. */
function socketClient(headers) {
  return {
    subscribe(payload, sink) {
      let disposed = false;
      let dispose = () => {};
      const start = () => {
        const started = performance.now();
        let messages = 0;
        const client = graphqlWs.createClient({
          url: socketUrl.href,
          connectionParams: () => withToken(headers),
          // The codes 4000 to 4999 are refusals; only a lost connection is worth another try.
          shouldRetry: (event) => event instanceof CloseEvent && (event.code < 4000 || event.code > 4999),
        });
        dispose = client.subscribe(payload, {
          next: (message) => {
            messages += 1;
            const bytes = new TextEncoder().encode(JSON.stringify(message)).length;
            report({ status: null, milliseconds: performance.now() - started, bytes, messages });
            sink.next(message);
          },
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

/** The fetcher for GraphiQL. */
export function fetcher(params, options) {
  const send = GraphiQL.createFetcher({
    url: url.href,
    fetch: authorizedFetch,
    enableIncrementalDelivery: false,
    wsClient: socketClient(options?.headers ?? {}),
  });
  return send(...parsed(params, options));
}

const MAY_CHANGE = `mutation MayChange { resumeDeployment(name: "") @skip(if: true) { __typename } }`;
const PATIENCE_MS = 3000;

/** The data of the answer to a document; null where there is none in time. Asks for a token if one is required. */
export async function post(query, variables = {}) {
  const init = { method: "POST", headers: { "Content-Type": "application/json", Accept: "application/json" }, body: JSON.stringify({ query, variables }) };
  const send = async () => {
    const response = await fetch(url, { ...init, headers: withToken(init.headers), signal: AbortSignal.timeout(PATIENCE_MS) });
    return response.status === 401 && (await askToken()) ? send() : response.json();
  };
  try {
    return (await send()).data ?? null;
  } catch {
    return null;
  }
}

/** Whether mutations are accepted: not with a token that may only read, nor by a server with --read-only. */
export async function mayChange() {
  return (await post(MAY_CHANGE)) !== null;
}
