// The outcome of a dry run: what would change in the deployment, what would be loaded, unloaded and downloaded, where,
// whether it fits, and when it opens.

import { attribute, h, text } from "./dom.js";
import { amount, label, labels, manner, names, when } from "./format.js";

/** An element, and `show(payload)` of a dry run; null hides it. */
export function planView() {
  const verdict = h("span", { class: "badge" });
  const reason = h("p", { class: "failure" });
  const changes = h("dl", { class: "change" });
  const steps = h("ol", { class: "numbered" });
  const order = h("details", { open: true }, h("summary", {}, "Steps in order"), steps);
  const title = h("h3", {}, "Plan");
  const element = h("div", { class: "plan", role: "status", tabindex: -1 }, h("div", { class: "head" }, title, verdict), reason, changes, order);
  return {
    element,
    show(payload) {
      element.hidden = payload === null;
      if (payload === null) return;
      const { plan } = payload;
      attribute(element, "data-fits", String(plan.fits));
      text(verdict, plan.fits ? "fits" : "does not fit");
      text(reason, reasonOf(plan));
      changes.replaceChildren(...[...declared(payload), ...rows(plan)].flatMap(([term, values]) => [h("dt", {}, term), ...values.map((value) => h("dd", {}, value))]));
      steps.replaceChildren(...plan.steps.map((step) => h("li", {}, step)));
      order.hidden = plan.steps.length === 0;
      element.scrollIntoView({ block: "nearest" });
    },
  };
}

function reasonOf({ fits, reason }) {
  return fits ? "" : `${reason} It is loaded as soon as it fits.`;
}

/** What differs from what was declared before, and when it opens. */
function declared({ changes, openUntil, nextOpening }) {
  const edits = changes.filter(({ before }) => before !== null).map(({ argument, before, after }) => `${argument}: ${before} → ${after}`);
  const opens = [openUntil && `open now, until ${when(openUntil)}`, nextOpening && `next opening ${when(nextOpening)}`].filter(Boolean);
  const found = edits.length === 0 ? [] : [["Change", edits]];
  return opens.length === 0 ? found : [...found, ["Schedule", opens]];
}

function rows(plan) {
  const { loads, nodes, unloadInstances, adopts, downloads, neededGb, loadFirst, fits } = plan;
  const where = nodes.length === 0 ? "" : ` on ${labels(nodes)}`;
  const found = [];
  if (loads.length > 0) found.push([fits ? "Load" : "Load once it fits", [`${names(loads)}${where}`]]);
  if (unloadInstances.length > 0) found.push([loads.length > 0 && !loadFirst ? "Unload before" : "Unload", unloadInstances.map(place)]);
  if (adopts.length > 0) found.push(["Keep, already loaded", adopts.map(place)]);
  if (downloads.length > 0) found.push(["Download", downloads.map(({ node, gib }) => `${amount(gib, "GiB", 1) ?? "size unknown"} to ${label(node)}`)]);
  if (neededGb !== null && loads.length > 0) found.push(["Memory", [memory(plan)]]);
  return found.length === 0 ? [["Cluster", ["nothing changes now"]]] : found;
}

function memory({ neededGb, availableGb, shortfallGb }) {
  const free = amount(availableGb, "GiB free on the best nodes", 1);
  const short = shortfallGb === null ? null : `${amount(shortfallGb, "GiB", 1)} short`;
  return [`${amount(neededGb, "GiB", 1)} needed for a copy`, free, short].filter(Boolean).join(", ");
}

/** half, Pipeline over sockets (ring) on node-1, node-2. */
export function place(instance) {
  return `${instance.model.name}, ${manner(instance)} on ${labels(instance.shards.map(({ node }) => node))}`;
}
