// The question before a model is unloaded: which instances, what that frees, and whom it concerns. It follows the
// cluster while it is open.

import { confirm } from "./confirm.js";
import { UNLOAD } from "./documents.js";
import { h, say, text } from "./dom.js";
import { amount, count, label, labels, manner } from "./format.js";
import { run } from "./actions.js";

let cluster = null;
let refresh = () => {};

/** Takes the newest state. */
export function updateUnload(newest) {
  cluster = newest;
  refresh();
}

/** Asks for confirmation, which instances, and how long to wait for running requests; then unloads. */
export async function unload(model) {
  const { id, name, instances } = model;
  const running = h("p", { role: "status" });
  const frees = h("p");
  const after = h("p", { class: "failure" });
  const pauses = h("p");
  const drain = h("input", { type: "number", name: "drain", min: 0, max: 3600, value: 30, required: true, input: () => refresh() });
  const choice = (value, words, checked) =>
    h("label", { class: "tick" }, h("input", { type: "radio", name: "instance", value, checked, change: () => refresh() }), h("span", {}, words));
  const which =
    instances.length === 1
      ? h("p", {}, placeOf(instances[0]))
      : h("fieldset", {}, h("legend", {}, "Which"), choice("", `All ${count(instances.length, "instance")}`, true), instances.map((each) => choice(each.id, placeOf(each), false)));
  refresh = () => {
    const chosen = which.querySelector(":checked")?.value || null;
    const now = factsOf(cluster, id, chosen, drain.value);
    say(running, now.running);
    text(frees, now.frees);
    text(after, now.after);
    text(pauses, now.pauses);
  };
  refresh();
  const content = [which, running, frees, after, pauses, h("label", { class: "number" }, "Seconds to wait for running requests", drain)];
  const answer = await confirm(`Unload ${name}?`, "Unload", content);
  refresh = () => {};
  if (answer === null) return;
  await run(UNLOAD, { model: id, instance: answer.get("instance") || null, drainSeconds: Number(answer.get("drain")) });
}

function placeOf(instance) {
  return `${manner(instance)} on ${labels(instance.shards.map(({ node }) => node))}`;
}

/** What unloading a model, or one of its instances, means now, as sentences; an empty one where there is nothing to say. */
export function factsOf({ models, tasks, deployments }, modelId, instanceId, drainSeconds) {
  const model = models.find(({ id }) => id === modelId);
  const leaving = (model?.instances ?? []).filter(({ id }) => instanceId === null || id === instanceId);
  if (leaving.length === 0) return { running: "It is no longer loaded.", frees: "", after: "", pauses: "" };
  const ids = new Set(leaving.map(({ id }) => id));
  const requests = tasks.filter(({ active, instance }) => active && ids.has(instance?.id)).length;
  const stays = models.some(({ instances }) => instances.some(({ id, phase }) => !ids.has(id) && ["READY", "RUNNING"].includes(phase)));
  const paused = deployments.filter(({ wanted, state, ownInstances }) => wanted && state !== "PAUSED" && ownInstances.some(({ id }) => ids.has(id)));
  const names = paused.map(({ name }) => name).join(", ");
  return {
    running: runningOf(requests, drainSeconds),
    frees: freesOf(leaving),
    after: stays ? "" : "Nothing else is ready: the cluster then serves no model.",
    pauses: paused.length === 0 ? "" : `This pauses the deployment${paused.length === 1 ? "" : "s"} ${names}.`,
  };
}

function runningOf(requests, drainSeconds) {
  if (requests === 0) return "No requests are running.";
  const [are, they] = requests === 1 ? ["request is", "It gets"] : ["requests are", "They get"];
  return `${requests} ${are} running. ${they} up to ${drainSeconds || 0} s to finish.`;
}

function freesOf(leaving) {
  const byNode = new Map();
  for (const { node, memoryGb } of leaving.flatMap(({ shards }) => shards)) {
    const name = label(node);
    byNode.set(name, (byNode.get(name) ?? 0) + (memoryGb ?? NaN));
  }
  const whole = [...byNode.values()].reduce((sum, gib) => sum + gib);
  if (Number.isNaN(whole)) return "How much memory this frees is not known.";
  const parts = [...byNode].map(([name, gib]) => `${amount(gib, "GiB", 1)} on ${name}`);
  return parts.length === 1 ? `Frees ${parts[0]}.` : `Frees ${amount(whole, "GiB", 1)}: ${parts.join(", ")}.`;
}
