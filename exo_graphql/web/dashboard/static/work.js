// What the nodes are busy with: downloads and tasks.

import { attribute, bar, h, section, text } from "./dom.js";
import { amount, duration, label, part, words } from "./format.js";

export function downloadSection() {
  const update = section("downloads", ({ download }) => download.id, downloadRow);
  return (cluster) => update(cluster.nodes.flatMap((node) => node.downloads.map((download) => ({ node, download }))));
}

function downloadRow({ download: first }) {
  const title = h("h3", { title: first.model.id }, first.model.name);
  const status = h("span", { class: "badge" });
  const progress = bar("progressbar", `Download of ${first.model.name}`);
  const size = h("span");
  const pace = h("span");
  const error = h("p", { class: "failure" });
  const element = h(
    "li",
    { class: "row", "data-download": first.id },
    h("div", { class: "head" }, title, status),
    progress.element,
    h("p", { class: "ends" }, size, pace),
    error,
  );
  return {
    element,
    update({ node, download }) {
      attribute(element, "data-status", download.status);
      text(status, words(download.status));
      progress.element.hidden = download.status === "FAILED";
      progress.update(download.progressPercent, sizeOf(download));
      text(size, [`on ${label(node)}`, sizeOf(download), filesOf(download)].filter(Boolean).join(" · "));
      text(pace, paceOf(download));
      text(error, download.error);
    },
  };
}

function sizeOf({ downloadedGb, totalGb }) {
  return part(downloadedGb, totalGb) ?? "size unknown";
}

function filesOf({ completedFiles, totalFiles }) {
  return completedFiles === null || totalFiles === null ? null : `file ${completedFiles} of ${totalFiles}`;
}

function paceOf({ status, speedMbS, etaSeconds }) {
  if (status !== "DOWNLOADING") return "";
  const left = duration(etaSeconds);
  return `${amount(speedMbS, "MiB/s", 1) ?? "speed unknown"} · ${left === null ? "time left unknown" : `${left} left`}`;
}

export function taskSection() {
  const update = section("tasks", (task) => task.id, taskRow);
  return (cluster) => update(cluster.tasks);
}

function taskRow(first) {
  const title = h("h3", {}, words(first.kind));
  const model = h("p", { class: "facts" });
  const status = h("span", { class: "badge" });
  const element = h("li", { class: "row", "data-task": first.id }, h("div", { class: "head" }, title, status, model));
  return {
    element,
    update(task) {
      attribute(element, "data-status", task.status);
      attribute(element, "data-active", task.active);
      text(status, words(task.status));
      text(model, task.model === null ? "of a model that is gone" : task.model.name);
    },
  };
}
