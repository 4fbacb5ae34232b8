// The downloads, one row a model: how far each node is, and how fast. Complete ones are in `weights.js`.

import { attribute, bar, h, keyed, section, text } from "./dom.js";
import { amount, count, duration, label, part, words } from "./format.js";

// The nodes of a larger group are folded.
const MAX_OPEN = 4;
// A group has the first of these that one of its downloads has.
const STATUSES = ["FAILED", "DOWNLOADING", "PENDING", "PAUSED"];
const CAN = {
  DOWNLOADING: ["pause", "remove"],
  PENDING: ["remove"],
  PAUSED: ["resume", "remove"],
  FAILED: ["resume", "remove"],
};

/** `actions` is `{ pause(downloads), resume(downloads), remove(downloads) }`; a download has its node. */
export function downloadSection(actions) {
  const update = section("downloads", (group) => group[0].model.id, (group) => groupRow(group, actions));
  return (cluster) => update(groupsOf(cluster.nodes.flatMap((node) => node.downloads.map((each) => ({ ...each, node })))));
}

/** The downloads by model, in the order in which the models come first. */
export function groupsOf(downloads) {
  const groups = new Map();
  for (const download of downloads) groups.set(download.model.id, [...(groups.get(download.model.id) ?? []), download]);
  return [...groups.values()];
}

function groupRow([first, ...others], actions) {
  const status = h("span", { class: "badge" });
  const where = h("summary");
  const whole = h("p", { class: "ends" });
  const size = h("span");
  const speed = h("span");
  const buttons = actButtons(actions, first.model.name, " all");
  const list = h("ul", { class: "places", role: "list" });
  const nodes = h("details", { open: others.length < MAX_OPEN }, where, list);
  const update = keyed(list, ({ download }) => download.id, ({ download }) => nodeRow(download, actions));
  const element = h(
    "li",
    { class: "row", "data-model-download": first.model.id },
    h("div", { class: "head" }, h("h3", { title: first.model.id }, first.model.name), status, buttons.element),
    whole,
    nodes,
  );
  whole.append(size, speed);
  return {
    element,
    update(group) {
      const one = group.length === 1;
      const shown = STATUSES.find((each) => group.some((download) => download.status === each));
      attribute(element, "data-status", shown);
      text(status, one ? "" : words(shown)); // the row of the one node has it
      nodes.open ||= one;
      text(where, one ? "" : count(group.length, "node"));
      const running = group.filter(({ status: each }) => each === "DOWNLOADING");
      whole.hidden = one;
      text(size, sizeOf({ downloadedGb: sum(group, "downloadedGb"), totalGb: sum(group, "totalGb") }));
      text(speed, running.length === 0 ? "" : speedOf({ speedMbS: sum(running, "speedMbS"), etaSeconds: longest(running) }));
      buttons.update(one ? [] : group);
      update(group.map((download) => ({ download, differs: one || download.status !== shown })));
    },
  };
}

function nodeRow(first, actions) {
  const status = h("span", { class: "badge" });
  const progress = bar("progressbar", `Download of ${first.model.name} to ${label(first.node)}`);
  const size = h("span");
  const speed = h("span");
  const error = h("p", { class: "failure" });
  const buttons = actButtons(actions, `${first.model.name} on ${label(first.node)}`);
  const name = h("p", { class: "where" });
  const element = h(
    "li",
    { "data-download": first.id },
    h("div", { class: "head" }, name, status, buttons.element),
    progress.element,
    h("p", { class: "ends" }, size, speed),
    error,
  );
  return {
    element,
    update({ download, differs }) {
      attribute(element, "data-status", download.status);
      text(name, label(download.node));
      text(status, differs ? words(download.status) : "");
      progress.element.hidden = download.status === "FAILED";
      progress.update(download.progressPercent, sizeOf(download));
      text(size, [sizeOf(download), filesOf(download)].filter(Boolean).join(" · "));
      text(speed, download.status === "DOWNLOADING" ? speedOf(download) : "");
      text(error, download.error);
      buttons.update([download]);
    },
  };
}

/** Pause, Resume and Delete, each for those of the downloads for which it is possible; hidden where there is none. */
function actButtons(actions, of, all = "") {
  let downloads = [];
  const names = { pause: `Pause${all}`, resume: `Resume${all}`, remove: `Delete${all}…` };
  const possible = (act) => downloads.filter((download) => CAN[download.status].includes(act) && (act !== "remove" || isPartThere(download)));
  const buttons = Object.entries(names).map(([act, name]) => {
    const label = `${name.replace("…", "")}: ${of}`;
    const button = h("button", { type: "button", "data-operate": true, "data-exo": true, "aria-label": label, click: () => actions[act](possible(act)) }, name);
    return { act, button };
  });
  return {
    element: h("div", { class: "acts" }, buttons.map(({ button }) => button)),
    update(now) {
      downloads = now;
      for (const { act, button } of buttons) button.hidden = possible(act).length === 0;
    },
  };
}

/** exo deletes nothing of a download of which nothing has arrived. */
function isPartThere({ status, downloadedGb }) {
  return status !== "PENDING" || (downloadedGb ?? 0) > 0;
}

/** The sum; null if one of them is unknown. */
function sum(downloads, field) {
  const values = downloads.map((download) => download[field]);
  return values.includes(null) ? null : values.reduce((total, value) => total + value);
}

function longest(downloads) {
  const all = downloads.map(({ etaSeconds }) => etaSeconds);
  return all.includes(null) ? null : Math.max(...all);
}

function sizeOf({ downloadedGb, totalGb }) {
  return part(downloadedGb, totalGb) ?? "size unknown";
}

function filesOf({ completedFiles, totalFiles }) {
  return completedFiles === null || totalFiles === null ? null : `file ${completedFiles} of ${totalFiles}`;
}

function speedOf({ speedMbS, etaSeconds }) {
  const left = duration(etaSeconds);
  return `${amount(speedMbS, "MiB/s", 1) ?? "speed unknown"} · ${left === null ? "time left unknown" : `${left} left`}`;
}
