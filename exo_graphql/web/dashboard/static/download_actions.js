// The buttons of downloads: pause, resume, delete. Each acts on downloads of one model.

import { confirm } from "./confirm.js";
import { CANCEL_DOWNLOAD, DELETE_DOWNLOAD, START_DOWNLOAD } from "./documents.js";
import { h } from "./dom.js";
import { amount, label } from "./format.js";
import { attempt, show, showPaused } from "./notice.js";

/** Sends a mutation for the nodes of these downloads. Shows which nodes have refused. True if any has accepted. */
async function run(document, downloads) {
  const nodes = downloads.map(({ node }) => node.id);
  const payload = await attempt(document, { model: downloads[0].model.id, nodes });
  if (payload === null) return false;
  showPaused(payload.paused);
  const refused = payload.results.filter(({ accepted }) => !accepted);
  if (refused.length > 0) show({ message: refused.map(({ error }) => error).join(" ") });
  return refused.length < payload.results.length;
}

/** Stops them; what has arrived is kept. */
export function pauseDownloads(downloads) {
  return run(CANCEL_DOWNLOAD, downloads);
}

/** Starts them again. */
export function resumeDownloads(downloads) {
  return run(START_DOWNLOAD, downloads);
}

/** Asks from which of the nodes the weights are to be deleted; then deletes them. */
export async function removeDownloads(downloads) {
  const { name, loaded } = downloads[0].model;
  const size = ({ downloadedGb, totalGb }) => amount(downloadedGb ?? totalGb, "GiB", 1) ?? "size unknown";
  const boxes = downloads.map((download) =>
    h(
      "label",
      { class: "tick" },
      h("input", { type: "checkbox", name: "node", value: download.node.id, checked: true }),
      h("span", {}, `${label(download.node)}, ${size(download)}`),
    ),
  );
  const one = downloads.length === 1;
  const answer = await confirm(`Delete ${name} from disk?`, "Delete", [
    one ? h("p", {}, `On ${label(downloads[0].node)}: ${size(downloads[0])}.`) : h("fieldset", {}, h("legend", {}, "From"), boxes),
    h("p", {}, "The weights must be downloaded again before the model can be loaded there."),
    loaded ? h("p", {}, "It is loaded. What runs keeps running.") : null,
  ]);
  if (answer === null) return false;
  const chosen = one ? downloads : downloads.filter(({ node }) => answer.getAll("node").includes(node.id));
  return chosen.length > 0 && run(DELETE_DOWNLOAD, chosen);
}
