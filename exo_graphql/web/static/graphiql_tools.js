// What this page adds to GraphiQL's editors: how long an answer took and how large it is, and the request for a shell.

import { copyText } from "./clipboard.js";
import { measurement, onMeasurement, url } from "./graphiql_fetcher.js";
import { quoted } from "./shell.js";
import { authorization } from "./token.js";

const { createElement: h, useEffect, useState, useSyncExternalStore } = React;
const { ToolbarButton, useEditorContext } = GraphiQL.React;

/** The line below the response. */
export function Measurement() {
  const measured = useSyncExternalStore(onMeasurement, measurement);
  return h("p", { className: "measurement", "aria-label": "Last response" }, measured === null ? "No response yet" : wordsOf(measured));
}

/** HTTP 200 · 34 ms · 1.2 kB; of a subscription: message 3 · 12.4 s after the start · 512 bytes. */
export function wordsOf({ status, milliseconds, bytes, messages }) {
  const time = milliseconds < 1000 ? `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
  const size = bytes < 1000 ? `${bytes} bytes` : `${(bytes / 1000).toFixed(1)} kB`;
  return messages === null ? `HTTP ${status} · ${time} · ${size}` : `message ${messages} · ${time} after the start · ${size}`;
}

/** Names the editors for screen readers, which GraphiQL does not; shows nothing. */
export function EditorNames() {
  const { queryEditor, variableEditor, headerEditor, responseEditor } = useEditorContext({ nonNull: true });
  useEffect(() => {
    const editors = { Query: queryEditor, Variables: variableEditor, Headers: headerEditor, Response: responseEditor };
    for (const [name, editor] of Object.entries(editors)) editor?.getInputField().setAttribute("aria-label", `${name} editor`);
  }, [queryEditor, variableEditor, headerEditor, responseEditor]);
  return null;
}

/** The button that copies the request of the current tab as a line for a shell. */
export function CopyCurl() {
  const { queryEditor, variableEditor, headerEditor } = useEditorContext({ nonNull: true });
  const [said, say] = useState(null);
  const copy = async () => {
    const [query, variables, headers] = [queryEditor, variableEditor, headerEditor].map((editor) => editor?.getValue() ?? "");
    const operationName = queryEditor?.operationName ?? undefined;
    const copied = await copyText(curlOf({ query, variables, headers, operationName }, url.href, authorization() !== null));
    say(copied ? "Copied" : "The browser refused");
    setTimeout(say, 2000, null);
  };
  return h(
    React.Fragment,
    null,
    h(ToolbarButton, { onClick: copy, label: "Copy as curl" }, h("span", { className: "curl graphiql-toolbar-icon" }, "curl")),
    h("span", { role: "status", className: "said" }, said),
  );
}

/**
 * A line for a shell. A subscription is sent as server-sent events. The token stays a variable of the shell: what is
 * copied is often passed on.
 */
export function curlOf({ query, variables, headers, operationName }, address, withToken) {
  const own = Object.entries(parsedOr({}, headers));
  const lines = [["Content-Type", "application/json"], ...own].map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
  if (withToken && !own.some(([name]) => name.toLowerCase() === "authorization")) lines.push('-H "Authorization: Bearer $EXO_GRAPHQL_TOKEN"');
  const operations = operationsOf(query);
  const chosen = operations.find(({ name }) => name?.value === operationName) ?? operations[0];
  const streams = chosen?.operation === "subscription";
  if (streams) lines.push("-H 'Accept: text/event-stream'");
  const given = parsedOr({}, variables);
  const body = {
    query,
    ...(operations.length > 1 && chosen?.name && { operationName: chosen.name.value }),
    ...(Object.keys(given).length > 0 && { variables: given }),
  };
  return `curl ${streams ? "-N " : ""}${quoted(address)} ${lines.join(" ")} -d ${quoted(JSON.stringify(body))}`;
}

function operationsOf(query) {
  try {
    return GraphiQL.GraphQL.parse(query).definitions.filter(({ kind }) => kind === "OperationDefinition");
  } catch {
    return []; // copied as it is
  }
}

/** What an editor holds as JSON; half-typed JSON counts as empty. */
function parsedOr(fallback, text) {
  try {
    return JSON.parse(text) ?? fallback;
  } catch {
    return fallback;
  }
}
