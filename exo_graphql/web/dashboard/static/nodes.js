// The nodes: memory as a bar, the figures that they report, and the models on them.

import { attribute, bar, figure, h, keyed, section, text } from "./dom.js";
import { amount, label, part, time, words } from "./format.js";

const FIGURES = [
  ["GPU", (node) => amount(node.gpuUsagePercent, "%")],
  ["CPU", (node) => amount(node.cpuPUsagePercent, "%")],
  ["Temp.", (node) => amount(node.temperatureC, "°C")],
  ["Power", (node) => amount(node.powerWatts, "W")],
  ["Disk free", (node) => amount(node.diskAvailableGb, "GiB")],
];

export function nodeSection() {
  const update = section("nodes", (node) => node.id, nodeRow);
  return (cluster) => update(cluster.nodes);
}

/** Scrolls to a node and focuses it. */
export function showNode(id) {
  const row = document.getElementById(`node-${id}`);
  row?.focus({ preventScroll: true });
  row?.scrollIntoView({ block: "nearest" });
}

function nodeRow(first) {
  const title = h("h3");
  const status = h("span", { class: "badge" });
  const kind = h("p", { class: "facts" });
  const memory = bar("meter", "Memory in use");
  const used = h("span");
  const free = h("span");
  const values = FIGURES.map(([name, read]) => {
    const value = h("dd");
    return { read, value, pair: h("div", {}, h("dt", {}, name), value) };
  });
  const models = h("ul", { class: "chips", role: "list", "aria-label": "Models on this node" });
  const updateModels = keyed(models, (model) => model.id, (model) => ({ element: h("li", {}, model.name), update() {} }));
  const seen = h("p", { class: "failure" });
  const more = h("p", { class: "facts" });
  const element = h(
    "li",
    { class: "row", id: `node-${first.id}`, tabindex: -1, "data-node": first.id },
    h("div", { class: "head" }, title, status),
    kind,
    seen,
    memory.element,
    h("p", { class: "ends" }, used, free),
    h("dl", { class: "figures" }, values.map(({ pair }) => pair)),
    models,
    h("details", {}, h("summary", {}, "More"), more),
  );
  return {
    element,
    update(node) {
      attribute(element, "data-status", node.status);
      text(title, label(node));
      text(status, words(node.status));
      text(kind, [node.hardware, node.chip, node.osVersion].filter(Boolean).join(" · ") || "No details reported");
      text(seen, seenOf(node));
      figure(used, node.ramTotalGb === null ? null : `${part(node.ramUsedGb, node.ramTotalGb)} used`);
      text(free, node.ramAvailableGb === null ? "memory not reported" : `${amount(node.ramAvailableGb, "GiB", 1)} free`);
      memory.update(node.ramUsedPercent, used.textContent);
      for (const { read, value } of values) figure(value, read(node));
      updateModels(node.models);
      models.hidden = node.models.length === 0;
      text(more, moreOf(node));
    },
  };
}

function seenOf({ status, lastSeen }) {
  if (status === "STALE") return `Last seen at ${time(lastSeen)}, by exo's clock.`;
  return status === "UNKNOWN" ? "exo has not reported when it last saw this node." : "";
}

function moreOf({ id, ipAddresses, backends, rdmaEnabled }) {
  const rdma = rdmaEnabled === null ? "unknown" : rdmaEnabled ? "on" : "off";
  const list = (values) => (values === null ? "unknown" : values.join(", ") || "none");
  return `Id ${id}. Backends: ${list(backends)}. RDMA: ${rdma}. Addresses: ${list(ipAddresses)}.`;
}
