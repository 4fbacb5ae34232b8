// The dashboard: one subscription, and the parts of the page that show its data.

import { authorization, forgetToken } from "../../graphiql/assets/token.js";
import { cancel, cancelTask } from "./actions.js";
import { calendarPart } from "./calendar.js";
import { pause, remove, resume } from "./deployment_actions.js";
import { setClock } from "./clock.js";
import { DeploymentDialog } from "./deployment_dialog.js";
import { deploymentSection } from "./deployments.js";
import { MAY_CHANGE, WATCH, WHY } from "./documents.js";
import { attribute } from "./dom.js";
import { pauseDownloads, removeDownloads, resumeDownloads } from "./download_actions.js";
import { downloadSection } from "./downloads.js";
import { eventSection } from "./events.js";
import { Live } from "./live.js";
import { LoadDialog } from "./load_dialog.js";
import { modelSection } from "./models.js";
import { nodeSection, showNode } from "./nodes.js";
import { operationSection, showOperation } from "./operations.js";
import { announce, overview, summary } from "./overview.js";
import { ask } from "./request.js";
import { taskSection } from "./tasks.js";
import { topologySection } from "./topology.js";
import { unload, updateUnload } from "./unload_dialog.js";
import { weightsPart } from "./weights.js";

// A server that has a state of exo sends it at once.
const WAITING_MS = 1000;

const loadDialog = new LoadDialog(showOperation);
const deploymentDialog = new DeploymentDialog();
const parts = [
  summary(),
  modelSection({ swap: (model) => loadDialog.open({ unload: [model.id] }), unload }),
  deploymentSection({ pause, resume, remove, edit: (deployment) => deploymentDialog.open(deployment) }),
  calendarPart(),
  nodeSection(),
  operationSection(cancel),
  downloadSection({ pause: pauseDownloads, resume: resumeDownloads, remove: removeDownloads }),
  weightsPart(removeDownloads),
  taskSection(cancelTask),
  topologySection(showNode),
  eventSection(),
  (cluster) => loadDialog.update(cluster),
  updateUnload,
  (cluster) => deploymentDialog.update(cluster),
];
const show = overview(() => live.retry());
const forget = document.getElementById("forget");

let shown = null;
let newest = null;
let condition = ["connecting", {}];
let connections = 0; // of the subscription: the server of another one may be another process

/** Draws the newest state, once for each frame: several messages may arrive within one. */
function draw() {
  const cluster = newest;
  newest = null;
  if (cluster === null) return;
  // Before the first state there is nothing to show but why.
  for (const each of document.querySelectorAll("main > [hidden]")) each.hidden = false;
  for (const part of parts) part(cluster, connections);
  announce(shown, cluster);
  shown = cluster;
  show(...condition, shown);
}

const live = new Live(WATCH, {
  data({ cluster }) {
    if (newest === null) requestAnimationFrame(draw);
    newest = cluster;
    setClock(cluster);
  },
  state(...now) {
    const [before] = condition;
    condition = now;
    forget.hidden = authorization() === null;
    if (now[0] === "live") {
      if (before !== "live") {
        connections += 1;
        askRights();
      }
      // The data that follow are drawn with the new condition.
      return;
    }
    show(...now, shown);
    if (now[0] === "waiting") setTimeout(askWhy, WAITING_MS, now);
  },
});

/** Asks why there is no state of exo yet: once while the server waits for the first one, and answers after seconds. */
async function askWhy(waiting) {
  if (condition !== waiting) return;
  try {
    await ask(WHY, {});
  } catch (error) {
    if (condition !== waiting || error.code !== "CLUSTER_UNAVAILABLE") return;
    condition = ["waiting", { error }];
    show(...condition, shown);
  }
}

/** Asks whether mutations are accepted. At each connection, since the server may have been restarted with --read-only. */
async function askRights() {
  try {
    await ask(MAY_CHANGE, {});
    attribute(document.body, "data-may-change", true);
  } catch (error) {
    const refused = ["FORBIDDEN", "GRAPHQL_VALIDATION_FAILED"].includes(error.code);
    // Else unknown: the buttons stay as they were. The subscription reports a broken connection.
    if (refused) attribute(document.body, "data-may-change", null);
  }
}

document.getElementById("load").addEventListener("click", () => loadDialog.open());
document.getElementById("deploy").addEventListener("click", () => deploymentDialog.open());
forget.addEventListener("click", () => {
  forgetToken();
  location.reload();
});
live.run();
