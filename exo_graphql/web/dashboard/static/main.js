// The dashboard: one subscription, and the parts of the page that show its data.

import { authorization, forgetToken } from "../../graphiql/assets/token.js";
import { cancel, unload } from "./actions.js";
import { MAY_CHANGE, WATCH } from "./documents.js";
import { attribute } from "./dom.js";
import { downloadSection } from "./downloads.js";
import { Live } from "./live.js";
import { LoadDialog } from "./load_dialog.js";
import { modelSection } from "./models.js";
import { nodeSection } from "./nodes.js";
import { operationSection, showOperation } from "./operations.js";
import { announce, overview, summary } from "./overview.js";
import { ask } from "./request.js";
import { taskSection } from "./tasks.js";

const loadDialog = new LoadDialog(showOperation);
const parts = [
  summary(),
  modelSection({ swap: (model) => loadDialog.open({ unload: [model.id] }), unload }),
  nodeSection(),
  operationSection(cancel),
  downloadSection(),
  taskSection(),
  (cluster) => loadDialog.update(cluster),
];
const show = overview(() => live.retry());
const forget = document.getElementById("forget");

let shown = null;
let newest = null;
let condition = ["connecting", {}];

/** Draws the newest state, once for each frame: several messages may arrive within one. */
function draw() {
  const cluster = newest;
  newest = null;
  if (cluster === null) return;
  for (const part of parts) part(cluster);
  announce(shown, cluster);
  shown = cluster;
  show(...condition, shown);
}

const live = new Live(WATCH, {
  data({ cluster }) {
    if (newest === null) requestAnimationFrame(draw);
    newest = cluster;
  },
  state(...now) {
    const [before] = condition;
    condition = now;
    forget.hidden = authorization() === null;
    if (now[0] === "live") {
      if (before !== "live") askRights();
      // The data that follow are drawn with the new condition.
      return;
    }
    show(...now, shown);
  },
});

/** Asks whether the server has mutations. At each connection, since it may have been restarted with --read-only. */
async function askRights() {
  try {
    const { __schema: schema } = await ask(MAY_CHANGE, {});
    attribute(document.body, "data-may-change", schema.mutationType !== null);
  } catch {
    // Unknown: the buttons stay as they were. The subscription reports a broken connection.
  }
}

document.getElementById("load").addEventListener("click", () => loadDialog.open());
forget.addEventListener("click", () => {
  forgetToken();
  location.reload();
});
live.run();
