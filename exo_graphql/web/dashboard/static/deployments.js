// The deployments: what is wanted, whether it is so, why not, and when it opens next.

import { attribute, bar, h, keyed, section, text } from "./dom.js";
import { amount, count, time, when, words } from "./format.js";
import { windowWords } from "./schedule.js";

/** `actions` is `{ pause(deployment), resume(deployment), edit(deployment), remove(deployment) }`. */
export function deploymentSection(actions) {
  const update = section("deployments", ({ name }) => name, (deployment) => deploymentRow(deployment, actions));
  return (cluster) => update(cluster.deployments);
}

function deploymentRow(first, actions) {
  let deployment = first;
  const title = h("h3", {}, first.name);
  const state = h("span", { class: "badge" });
  const button = (label, act, exo = false) =>
    h("button", { type: "button", "data-operate": true, "data-exo": exo, "aria-label": `${label.replace("…", "")} ${first.name}`, click: () => act(deployment) }, label);
  const [pause, resume] = [button("Pause…", actions.pause), button("Resume", actions.resume)];
  const [edit, remove] = [button("Edit…", actions.edit, true), button("Delete…", actions.remove)];
  const model = h("p", { class: "message" });
  const facts = h("p", { class: "facts" });
  const reason = h("p", { class: "message" });
  const progress = bar("progressbar", `Progress of ${first.name}`);
  const failure = h("p", { class: "failure" });
  const opening = h("p", { class: "message" });
  const windows = h("ul", { class: "facts", role: "list", "aria-label": `Schedule of ${first.name}` });
  const updateWindows = keyed(windows, (window) => JSON.stringify(window), (window) => ({ element: h("li", {}, windowWords(window)), update() {} }));
  const element = h(
    "li",
    { class: "row", "data-deployment": first.name, tabindex: -1 },
    h("div", { class: "head" }, title, state, h("div", { class: "acts" }, pause, resume, edit, remove)),
    model,
    reason,
    progress.element,
    failure,
    opening,
    windows,
    facts,
  );
  return {
    element,
    update(now) {
      deployment = now;
      attribute(element, "data-state", now.state);
      text(state, words(now.state));
      text(model, modelOf(now));
      model.title = now.modelId;
      text(reason, now.state === "READY" ? "" : now.reason);
      const { operation } = now;
      progress.element.hidden = operation === null;
      if (operation !== null) progress.update(operation.progressPercent, operation.message);
      text(failure, failureOf(now));
      text(opening, openingOf(now));
      updateWindows(now.schedule);
      windows.hidden = now.schedule.length === 0;
      text(facts, factsOf(now));
      const byFile = now.managedBy === "FILE";
      pause.hidden = now.state === "PAUSED";
      resume.hidden = !["PAUSED", "IDLE"].includes(now.state);
      edit.hidden = byFile;
      remove.hidden = byFile;
    },
  };
}

function modelOf({ model, replicas, readyReplicas }) {
  const copies = replicas === 1 ? null : `${readyReplicas} of ${count(replicas, "replica")} ready`;
  return [model.name, amount(model.storageSizeGb, "GiB", 1), copies].filter(Boolean).join(" · ");
}

function openingOf({ state, wanted, schedule, openUntil, nextOpening, pausedUntil }) {
  const next = nextOpening !== null ? ` Next opening: ${when(nextOpening)}.` : schedule.length > 0 && openUntil === null ? " No opening is in sight." : "";
  if (state === "PAUSED") return `Paused until ${when(pausedUntil) ?? "it is resumed"}.${next}`;
  if (schedule.length === 0) return wanted ? "Wanted at all times." : "";
  if (!wanted) return `${["OFF", "IDLE"].includes(state) ? "" : "Not wanted now."}${next}`.trim();
  return `Wanted now${openUntil === null ? "" : `, until ${when(openUntil)}`}.${next}`;
}

function failureOf({ state, reason, lastFailure, attempts, retryAt }) {
  const tried = attempts === 0 ? null : `${count(attempts, "attempt")} so far.`;
  const retry = retryAt === null ? null : `Next attempt at ${time(retryAt)}.`;
  if (lastFailure === null) return state === "RETRYING" ? [tried, retry].filter(Boolean).join(" ") : "";
  // The reason of a retry is the failure's message: it is shown once.
  const said = reason === lastFailure.message ? "" : `: ${lastFailure.message}`;
  const failed = `Last failure ${time(lastFailure.at)}${said}`;
  return [/[.!?]$/.test(failed) ? failed : `${failed}.`, tried, retry].filter(Boolean).join(" ");
}

function factsOf({ managedBy, nodes, minNodes, priority, sharding, instanceType, idleUnloadSeconds }) {
  const chosen = (value) => (value === "AUTO" ? null : words(value));
  return [
    nodes === null ? null : `on ${nodes.join(", ")}`,
    minNodes > 1 && nodes === null ? `${count(minNodes, "node")} or more` : null,
    chosen(sharding),
    chosen(instanceType),
    priority === 0 ? null : `priority ${priority}`,
    idleUnloadSeconds === null ? null : `unloaded after ${idleUnloadSeconds} s without requests`,
    managedBy === "FILE" ? "declared in the server's file: change it there" : null,
  ].filter(Boolean).join(" · ");
}
