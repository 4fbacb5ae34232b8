// A node as a card: memory as a bar, the figures that it reports with their last hour, and the models on it.

import { attribute, bar, figure, h, keyed, text } from "./dom.js";
import { amount, label, time, words } from "./format.js";
import { nodeCharts } from "./node_charts.js";
import { CHARTED, PLAIN } from "./node_figures.js";
import { sparkline } from "./sparkline.js";

/** The row of a node in a list. */
export function nodeCard(first, history) {
  const title = h("h3");
  const status = h("span", { class: "badge" });
  const kind = h("p", { class: "facts" });
  const memory = bar("meter", "Memory in use");
  const used = h("span");
  const free = h("span");
  const [memorySpark, ...others] = CHARTED.map((metric) => ({ ...metric, line: sparkline(), value: h("dd") }));
  const plain = PLAIN.map((metric) => ({ ...metric, value: h("dd") }));
  const models = h("ul", { class: "chips", role: "list", "aria-label": "Models on this node" });
  const updateModels = keyed(models, (model) => model.id, (model) => ({ element: h("li", {}, model.name), update() {} }));
  const seen = h("p", { class: "failure" });
  const details = nodeDetails();
  const opened = h("details", {}, h("summary", {}, "Charts and details"), details.element);
  let drawn = -1;
  let shown = first;
  opened.addEventListener("toggle", () => opened.open && details.update(shown, history));
  const pair = ({ name, value, line }) => h("div", {}, h("dt", {}, name), value, line?.element);
  const element = h(
    "li",
    { class: "row", id: `node-${first.id}`, tabindex: -1, "data-node": first.id },
    h("div", { class: "head" }, title, status),
    kind,
    seen,
    memory.element,
    h("p", { class: "ends" }, used, free),
    memorySpark.line.element,
    h("dl", { class: "figures" }, [...others, ...plain].map(pair)),
    models,
    opened,
  );
  return {
    element,
    update(node) {
      shown = node;
      attribute(element, "data-status", node.status);
      text(title, label(node));
      text(status, words(node.status));
      text(kind, kindOf(node));
      text(seen, seenOf(node));
      const inUse = memorySpark.read(node);
      figure(used, inUse === null ? null : `${inUse} used`);
      text(free, node.ramAvailableGb === null ? "memory not reported" : `${amount(node.ramAvailableGb, "GiB", 1)} free`);
      memory.update(node.ramUsedPercent, used.textContent);
      for (const { read, value } of [...others, ...plain]) figure(value, read(node));
      updateModels(node.models);
      models.hidden = node.models.length === 0;
      if (drawn !== history.version) {
        drawn = history.version;
        drawLines([memorySpark, ...others], node, history);
        if (opened.open) details.update(node, history);
      }
    },
  };
}

/** Draws the last hour of each figure. */
export function drawLines(metrics, node, history) {
  const lists = history.of(node.id);
  for (const { key, scale, line } of metrics) line.update(lists[key], scale(node, lists[key]));
}

/** What is shown of a node that is opened: its charts, and what rarely matters. */
export function nodeDetails() {
  const charts = nodeCharts();
  const more = h("p", { class: "facts" });
  return {
    element: h("div", { class: "opened" }, charts.element, more),
    update(node, history) {
      charts.update(node, history);
      text(more, moreOf(node));
    },
  };
}

export function kindOf({ hardware, chip, osVersion }) {
  return [hardware, chip, osVersion].filter(Boolean).join(" · ") || "No details reported";
}

export function seenOf({ status, lastSeen }) {
  if (status === "STALE") return `Last seen at ${time(lastSeen)}, by exo's clock.`;
  return status === "UNKNOWN" ? "exo has not reported when it last saw this node." : "";
}

function moreOf({ id, ipAddresses, backends, rdmaEnabled }) {
  const rdma = rdmaEnabled === null ? "unknown" : rdmaEnabled ? "on" : "off";
  const list = (values) => (values === null ? "unknown" : values.join(", ") || "none");
  return `Id ${id}. Backends: ${list(backends)}. RDMA: ${rdma}. Addresses: ${list(ipAddresses)}.`;
}
