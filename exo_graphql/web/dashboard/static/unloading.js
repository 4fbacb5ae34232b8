// What unloading instances means for those who use them, as sentences.

import { amount, label } from "./format.js";

/** Of a model, or one of its instances; an empty sentence where there is nothing to say. */
export function factsOf({ models, tasks, deployments }, modelId, instanceId, drainSeconds) {
  const model = models.find(({ id }) => id === modelId);
  const leaving = (model?.instances ?? []).filter(({ id }) => instanceId === null || id === instanceId);
  if (leaving.length === 0) return { running: "It is no longer loaded.", frees: "", after: "", pauses: "" };
  const ids = new Set(leaving.map(({ id }) => id));
  const paused = deployments.filter(({ wanted, state, ownInstances }) => wanted && state !== "PAUSED" && ownInstances.some(({ id }) => ids.has(id)));
  return {
    running: runningOf(tasks, ids, drainSeconds),
    frees: freesOf(leaving),
    after: isAnyReady(models, ids) ? "" : "Nothing else is ready: the cluster then serves no model.",
    pauses: pausesOf(paused),
  };
}

/** Whether a model is ready on an instance that is not among these. */
export function isAnyReady(models, ids) {
  return models.some(({ instances }) => instances.some(({ id, phase }) => !ids.has(id) && ["READY", "RUNNING"].includes(phase)));
}

/** How many requests the instances serve now, and how long they may take. */
export function runningOf(tasks, ids, drainSeconds) {
  const requests = tasks.filter(({ active, instance }) => active && ids.has(instance?.id)).length;
  if (requests === 0) return "No requests are running.";
  const [are, they] = requests === 1 ? ["request is", "It gets"] : ["requests are", "They get"];
  return `${requests} ${are} running. ${they} up to ${drainSeconds || 0} s to finish.`;
}

export function freesOf(leaving) {
  const byNode = new Map();
  for (const { node, memoryGb } of leaving.flatMap(({ shards }) => shards)) {
    const name = label(node);
    byNode.set(name, (byNode.get(name) ?? 0) + (memoryGb ?? NaN));
  }
  const whole = [...byNode.values()].reduce((sum, gib) => sum + gib, 0);
  if (Number.isNaN(whole)) return "How much memory this frees is not known.";
  const parts = [...byNode].map(([name, gib]) => `${amount(gib, "GiB", 1)} on ${name}`);
  return parts.length === 1 ? `Frees ${parts[0]}.` : `Frees ${amount(whole, "GiB", 1)}: ${parts.join(", ")}.`;
}

export function pausesOf(deployments) {
  const names = deployments.map(({ name }) => name).join(", ");
  return deployments.length === 0 ? "" : `This pauses the deployment${deployments.length === 1 ? "" : "s"} ${names}.`;
}
