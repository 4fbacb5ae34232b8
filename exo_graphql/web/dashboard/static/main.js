// The dashboard: one subscription, and the parts of the page that read what it brings.

import { authorization, forgetToken } from "../../graphiql/assets/token.js";
import { cancel, unload } from "./actions.js";
import { MAY_CHANGE, WATCH } from "./documents.js";
import { attribute } from "./dom.js";
import { Live } from "./live.js";
import { modelSection } from "./models.js";
import { nodeSection } from "./nodes.js";
import { operationSection, showOperation } from "./operations.js";
import { announce, overview, summary } from "./overview.js";
import { ask } from "./request.js";
import { WishDialog } from "./wish.js";
import { downloadSection, taskSection } from "./work.js";

const wish = new WishDialog(showOperation);
const parts = [
  summary(),
  modelSection({ swap: (model) => wish.open({ unload: [model.id] }), unload }),
  nodeSection(),
  operationSection(cancel),
  downloadSection(),
  taskSection(),
  (cluster) => wish.update(cluster),
];
const show = overview(() => live.retry());
const forget = document.getElementById("forget");

let shown = null;
let newest = null;
let condition = ["connecting", {}];

/** Draws the newest picture once for each frame, however many have come. */
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
      // The picture that has just come says the rest.
      return;
    }
    show(...now, shown);
  },
});

/** The server may be another than before: whether it lets anybody change the cluster is asked at each connection. */
async function askRights() {
  try {
    const { __schema: schema } = await ask(MAY_CHANGE, {});
    attribute(document.body, "data-may-change", schema.mutationType !== null);
  } catch {
    // Not known, so as it was. A connection that broke says so elsewhere.
  }
}

document.getElementById("load").addEventListener("click", () => wish.open());
forget.addEventListener("click", () => {
  forgetToken();
  location.reload();
});
live.run();
