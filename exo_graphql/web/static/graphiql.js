// GraphiQL on this server. React, ReactDOM, GraphiQL, GraphiQLPluginExplorer and graphqlWs are globals of the scripts
// loaded before.

import { filled, findValues } from "./example_values.js";
import { fetcher, mayChange, url } from "./graphiql_fetcher.js";
import { CopyCurl, EditorNames, Measurement } from "./graphiql_tools.js";

const { createElement: h, useEffect, useRef } = React;
const { useEditorContext } = GraphiQL.React;

// What a first visit opens: a look at the cluster, the same live, and a load; where nothing may be changed, the plan of one.
const FIRST = ["Status", "Watch", "LoadModel"];
const FIRST_READ_ONLY = ["Status", "Watch", "Plan"];
const TABS_KEY = "graphiql:tabState";

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
    // On a phone the editors are below this list.
    document.querySelector(".graphiql-sessions").scrollIntoView({ block: "nearest" });
  }, [tabs.length]);
  const open = async (example) => {
    const variables = example.variables === "" ? "" : filled(example, await findValues());
    chosen.current = { query: example.query, variables };
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

/** The tabs of a first visit, with values of this cluster. A later visit has the tabs that were left open. */
async function firstTabs(examples) {
  if (localStorage.getItem(TABS_KEY) !== null) return [];
  const values = await findValues();
  const may = values !== null && (await mayChange());
  const wanted = (may ? FIRST : FIRST_READ_ONLY).map((name) => examples.find((example) => example.name === name));
  return wanted.filter(Boolean).map((example) => ({ query: example.query, variables: filled(example, values) }));
}

const response = await fetch(new URL("graphiql/assets/examples.json", url));
const examples = response.ok ? await response.json() : [];
const defaultTabs = await firstTabs(examples);
ReactDOM.createRoot(document.getElementById("graphiql")).render(
  h(
    GraphiQL,
    {
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
    },
    h(GraphiQL.Logo, null, h("a", { className: "home", href: "./" }, "Dashboard")),
    h(GraphiQL.Toolbar, null, ({ prettify, merge, copy }) => h(React.Fragment, null, prettify, merge, copy, h(CopyCurl), h(EditorNames))),
    h(GraphiQL.Footer, null, h(Measurement)),
  ),
);
