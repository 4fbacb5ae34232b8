// The top of the page: health, whether the shown state is current, the figures of the cluster; and what is read out.

import { bannerPart, wrongsOf } from "./banner.js";
import { attribute, bar, figure, h, text } from "./dom.js";
import { amount, count, label, part, words } from "./format.js";
import { gate } from "./gate.js";
import { isActive, titleOf } from "./operations.js";

const health = document.getElementById("health");
const spoken = document.getElementById("spoken");

/** Has a screen reader read a sentence out. */
function readOut(sentence) {
  spoken.append(h("p", {}, sentence));
  if (spoken.childElementCount > 5) spoken.firstElementChild.remove();
}

/** Describes the state of the connection: `{ short, reasons, exoErrors, tone }`; null while it is live. */
function connectionOf(state, { error, retryMs }, cluster) {
  const tone = state === "connecting" && cluster === null ? "quiet" : "bad";
  switch (state) {
    case "live":
      return null;
    case "connecting":
      return { short: "Connecting", reasons: cluster === null ? [] : ["Disconnected from the server. Reconnecting."], tone };
    case "waiting":
      return { short: "Waiting for exo", ...waiting(error), tone };
    case "hidden":
      return { short: "Paused while hidden", reasons: ["Updates resume when the page is visible."], tone };
    case "refused":
      return { short: "Token required", reasons: [error.message], tone };
    default: {
      const why = error === null ? "The server ended the connection." : error.message;
      return { short: "Disconnected", reasons: [`Disconnected. ${why} Trying again in ${Math.ceil(retryMs / 1000)} s.`], tone };
    }
  }
}

/** Why there is no state yet: what each URL of exo said if that is known, else the error itself. */
function waiting(error) {
  const exoErrors = error?.exoErrors ?? [];
  const why = exoErrors.length > 0 ? [error.suggestion] : [error?.message, error?.suggestion];
  return { reasons: ["The server has not received a state from exo yet.", ...why.filter(Boolean)], exoErrors };
}

/**
 * The pill, the banner with what is wrong, and the body's `data-connected`. Called with `(state, details, cluster)` at
 * each change. Buttons that would be refused meanwhile are disabled.
 */
export function overview(retry) {
  const banner = bannerPart(retry);
  let before = "connecting";
  return (state, details, cluster) => {
    const trouble = connectionOf(state, details, cluster);
    const stale = cluster !== null && (cluster.stale || !cluster.connected);
    attribute(document.body, "data-connected", String(trouble === null));
    attribute(document.body, "data-stale", cluster?.stale ?? null);
    const shown = trouble ?? healthOf(cluster);
    if (health.textContent !== shown.short && before !== "connecting") readOut(`${shown.short}. ${shown.reasons.join(" ")}`);
    before = state;
    attribute(health, "data-tone", shown.tone);
    text(health, shown.short);
    const since = trouble !== null || stale ? (cluster?.staleSince ?? cluster?.observedAt ?? null) : null;
    banner(wrongsOf(trouble, cluster), shown.tone, since, { lost: "Try now", refused: "Enter token" }[state]);
    gate(trouble === null ? null : "This page is not connected to the server.", stale ? "exo does not answer with a new state." : null);
    document.title = cluster === null ? "exo" : `${shown.short} · exo`;
  };
}

function healthOf({ connected, stale, healthy, unhealthyReasons: reasons }) {
  if (!connected || stale) return { short: connected ? "Stale" : "exo unreachable", reasons, tone: "bad" };
  return { short: healthy ? "Healthy" : "Unhealthy", reasons, tone: healthy ? "good" : "bad" };
}

const FIGURES = [
  ["Nodes online", (cluster) => `${cluster.onlineNodeCount} of ${cluster.nodeCount}`],
  ["Deployments ready", ({ deployments }) => readyOf(deployments.filter(({ wanted }) => wanted))],
  ["Models", (cluster) => String(cluster.loadedModelCount)],
  ["Requests", (cluster) => String(cluster.activeTaskCount)],
  ["Downloads", (cluster) => String(cluster.activeDownloadCount)],
  ["Operations", (cluster) => String(cluster.operations.filter(isActive).length)],
];

function readyOf(wanted) {
  return `${wanted.filter(({ ready }) => ready).length} of ${wanted.length}`;
}

export function summary() {
  const used = h("dd");
  const free = h("dd", { class: "facts" });
  const memory = bar("meter", "Memory of the cluster in use");
  const values = FIGURES.map(([name, read]) => ({ read, value: h("dd"), name }));
  document.getElementById("summary").append(
    h("div", { class: "wide" }, h("dt", {}, "Memory in use"), used, h("dd", {}, memory.element), free),
    ...values.map(({ name, value }) => h("div", {}, h("dt", {}, name), value)),
  );
  return (cluster) => {
    figure(used, memoryOf(cluster));
    memory.update(cluster.ramUsedPercent, used.textContent);
    text(free, freeOf(cluster));
    for (const { read, value } of values) figure(value, read(cluster));
    document.getElementById("demo").hidden = !cluster.demo;
    text(document.getElementById("footer"), footerOf(cluster));
  };
}

function memoryOf({ ramTotalGb, ramUsedGb }) {
  return ramTotalGb === null ? null : part(ramUsedGb, ramTotalGb);
}

function freeOf({ ramAvailableGb, nodesWithoutMemory }) {
  const without = nodesWithoutMemory === 0 ? null : `${count(nodesWithoutMemory, "node")} not counted`;
  return [amount(ramAvailableGb, "GiB free", 1), without].filter(Boolean).join(" · ");
}

function footerOf({ exoUrl, apiNodeId, nodes, replicas }) {
  const node = nodes.find(({ id }) => id === apiNodeId);
  const exo = `exo at ${exoUrl}${node === undefined ? "" : `, answered by ${label(node)}`}`;
  if (replicas.length < 2) return exo;
  const leader = replicas.find((each) => each.leader);
  return `${exo} · ${replicas.length} servers, ${leader === undefined ? "none leads" : `${leader.name} leads`}`;
}

/** Has the important changes between two states read out: models ready or failed, ended operations, lost nodes. */
export function announce(before, now) {
  const news = [];
  if (before !== null) {
    for (const model of now.models) {
      const old = before.models.find(({ id }) => id === model.id);
      const { phase, ready } = model.status;
      if (old === undefined) news.push(`${model.name}: ${words(phase)}.`);
      else if (old.status.ready !== ready || (phase !== old.status.phase && ["FAILED", "UNREACHABLE"].includes(phase))) {
        news.push(`${model.name} is ${ready ? "ready" : words(phase)}.`);
      }
    }
    for (const { name, state, reason } of now.deployments) {
      const old = before.deployments.find((each) => each.name === name);
      if (old !== undefined && old.state !== state && ["PAUSED", "RETRYING", "UNSATISFIABLE"].includes(state)) {
        news.push(`Deployment ${name} is ${words(state)}: ${reason}`);
      }
    }
    for (const gone of missing(before.models, now.models)) news.push(`${gone.name} is no longer loaded.`);
    for (const operation of now.operations) {
      const old = before.operations.find(({ id }) => id === operation.id);
      if (!isActive(operation) && old !== undefined && isActive(old)) news.push(`${titleOf(operation)}: ${words(operation.state)}.`);
    }
    for (const node of now.nodes) {
      const old = before.nodes.find(({ id }) => id === node.id);
      if (old !== undefined && old.status !== node.status) news.push(`${label(node)} is ${words(node.status)}.`);
    }
    for (const gone of missing(before.nodes, now.nodes)) news.push(`${label(gone)} has left.`);
  }
  if (news.length > 0) readOut(news.join(" "));
}

function missing(before, now) {
  return before.filter(({ id }) => !now.some((each) => each.id === id));
}
