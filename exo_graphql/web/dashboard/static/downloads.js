// The downloads: which model goes to which node, how far it is, and how fast.

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
  const speed = h("span");
  const error = h("p", { class: "failure" });
  const element = h(
    "li",
    { class: "row", "data-download": first.id },
    h("div", { class: "head" }, title, status),
    progress.element,
    h("p", { class: "ends" }, size, speed),
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
      text(speed, speedOf(download));
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

function speedOf({ status, speedMbS, etaSeconds }) {
  if (status !== "DOWNLOADING") return "";
  const left = duration(etaSeconds);
  return `${amount(speedMbS, "MiB/s", 1) ?? "speed unknown"} · ${left === null ? "time left unknown" : `${left} left`}`;
}
