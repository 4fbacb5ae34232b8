// Values for the variables of the examples, from the cluster as it is: an example works when it is opened.

import { post } from "./graphiql_fetcher.js";

const CLUSTER = `
query ExampleValues {
  models { id name loaded isCustom storageSizeGb downloads(status: [COMPLETED]) { node { id } } }
  nodes { id friendlyName }
  operations { id state }
  deployments { name state }
  tasks { id active }
  downloads(status: [DOWNLOADING, PAUSED, FAILED]) { status model { name } node { id friendlyName } }
  events(last: 1) { id }
}`;

// A small model on the hub, for the examples that add one.
const ON_HUB = "mlx-community/SmolLM3-3B-4bit";

const PLAN = `query ExamplePlan($load: [String!]) { plan(load: $load) { hash } }`;

/** For each operation, its variables with a value that exists; null where the server does not say. */
export async function findValues() {
  const data = await post(CLUSTER);
  if (data === null) return null;
  const values = valuesOf(data);
  const hash = (await post(PLAN, values.Plan))?.plan.hash;
  return { ...values, ApplyPlan: hash ? { hash } : {} };
}

/** What the cluster has none of is left out. */
function valuesOf({ models, nodes, operations, deployments, tasks, downloads, events }) {
  const bySize = [...models].sort((one, other) => (one.storageSizeGb ?? Infinity) - (other.storageSizeGb ?? Infinity));
  const name = (model) => model?.name;
  const node = (each) => each && (each.friendlyName ?? each.id);
  const loaded = name(bySize.find((model) => model.loaded)) ?? name(bySize[0]);
  const there = bySize.filter((model) => model.downloads.length > 0 && !model.loaded);
  const loadable = name(there[0]) ?? name(bySize.find((model) => !model.loaded)) ?? loaded;
  const missing = name(bySize.find((model) => model.downloads.length < nodes.length && model.downloads.length === 0)) ?? loadable;
  const running = downloads.find(({ status }) => status === "DOWNLOADING");
  const partial = downloads.find(({ status }) => status !== "DOWNLOADING");
  const stored = nodes.find(({ id }) => there[0]?.downloads.some((each) => each.node.id === id));
  const operation = (operations.find(({ state }) => ["PENDING", "RUNNING"].includes(state)) ?? operations[0])?.id;
  const deployment = deployments[0]?.name;
  const first = node(nodes[0]);
  return trimmed({
    Acknowledge: { event: events[0]?.id },
    AddModel: { id: ON_HUB },
    ApplyDeployment: { name: "example", model: loadable, dryRun: true },
    CancelDownload: { model: running?.model.name ?? loadable, nodes: [node(running?.node) ?? first] },
    CancelOperation: { id: operation },
    CancelTask: { id: tasks.find(({ active }) => active)?.id },
    DeleteDeployment: { name: deployment },
    DeleteDownload: { model: partial?.model.name ?? loadable, nodes: [node(partial?.node) ?? node(stored) ?? first] },
    Deployment: { name: deployment },
    FollowOperation: { id: operation },
    LoadModel: { model: loadable },
    Model: { id: loaded },
    ModelReady: { model: loaded },
    ModelStatus: { model: loaded },
    Node: { id: first },
    Operation: { id: operation },
    PauseDeployment: { name: deployment },
    Plan: { load: [loadable] },
    RemoveModel: { id: models.find(({ isCustom }) => isCustom)?.id ?? ON_HUB },
    ResumeDeployment: { name: deployment },
    ResumeOperation: { id: operations.find(({ state }) => state === "PARKED")?.id ?? operation },
    SearchHub: { query: "SmolLM3" },
    StartDownload: { model: missing, nodes: [first] },
    SwapModels: { unload: [loaded], load: [loadable] },
    UnloadModel: { model: loaded },
  });
}

/** Without variables for which there is no value. */
function trimmed(byOperation) {
  const known = (value) => (Array.isArray(value) ? value.every(known) : value !== undefined);
  const entries = Object.entries(byOperation).map(([operation, values]) => [operation, Object.fromEntries(Object.entries(values).filter(([, value]) => known(value)))]);
  return Object.fromEntries(entries);
}

/** An example's variables, as text for the editor, with the values that were found for it. */
export function filled({ name, variables }, values) {
  const found = values?.[name] ?? {};
  if (Object.keys(found).length === 0) return variables;
  return JSON.stringify({ ...(variables === "" ? {} : JSON.parse(variables)), ...found }, null, 2);
}
