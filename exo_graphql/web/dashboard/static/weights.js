// The complete weights on the nodes' disks, requested when this part is opened, and deleting them.

import { WEIGHTS } from "./documents.js";
import { attribute, h, keyed, say, text } from "./dom.js";
import { amount, count, labels } from "./format.js";
import { groupsOf } from "./downloads.js";
import { ask } from "./request.js";

// exo lists deleted weights for some seconds more.
const AGAIN_MS = [500, 2000, 5000];

/** A part of the section of downloads; `remove(downloads)` resolves to whether anything was deleted. */
export function weightsPart(remove) {
  const status = h("p", { class: "facts", role: "status" });
  const list = h("ul", { class: "places", role: "list" });
  const update = keyed(list, ([{ model }]) => model.id, (group) => weightsRow(group, removed));
  const element = h("details", { class: "weights" }, h("summary", {}, "Weights on disk"), status, list);
  let running = null;
  let before = "";

  async function find() {
    running?.abort();
    const controller = (running = new AbortController());
    try {
      const { downloads } = await ask(WEIGHTS, {}, controller.signal);
      const groups = groupsOf(downloads).sort((one, other) => total(other) - total(one));
      update(groups);
      say(status, groups.length === 0 ? "No complete weights." : `${count(groups.length, "model")}, ${amount(total(downloads), "GiB", 1)} on all nodes together.`);
      attribute(element, "data-loaded", "true");
    } catch (error) {
      if (error.name !== "AbortError") say(status, error.message);
    }
  }

  async function removed(downloads) {
    if (!(await remove(downloads))) return;
    for (const pause of AGAIN_MS) setTimeout(find, pause);
  }

  element.addEventListener("toggle", () => element.open && find());
  document.getElementById("downloads").append(element);
  return (cluster) => {
    // A download that is no longer under way may be complete.
    const now = cluster.nodes.flatMap(({ id, downloads }) => [id, ...downloads.map((each) => each.id)]).join();
    if (element.open && before !== now) find();
    before = now;
  };
}

function total(downloads) {
  return downloads.reduce((sum, { totalGb }) => sum + totalGb, 0);
}

function weightsRow([first], remove) {
  let downloads = [];
  const facts = h("span", { class: "facts" });
  const name = `Delete: the weights of ${first.model.name}`;
  const button = h("button", { type: "button", "data-operate": true, "data-exo": true, "aria-label": name, click: () => remove(downloads) }, "Delete…");
  return {
    element: h("li", { "data-weights": first.model.id }, h("div", { class: "head" }, h("span", { title: first.model.id }, first.model.name), facts, h("div", { class: "acts" }, button))),
    update(group) {
      downloads = group;
      facts.title = labels(group.map(({ node }) => node));
      text(facts, [amount(total(group), "GiB", 1), count(group.length, "node"), group[0].model.loaded ? "loaded" : null].filter(Boolean).join(" · "));
    },
  };
}
