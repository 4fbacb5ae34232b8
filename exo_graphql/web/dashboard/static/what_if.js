// What a load or a swap would do, in sentences: who serves meanwhile, what is downloaded, freed and paused, in which order.

import { h, keyed, text } from "./dom.js";
import { amount, label, labels, manner, names } from "./format.js";
import { refusal } from "./refusal.js";
import { freesOf, isAnyReady, pausesOf, runningOf } from "./unloading.js";

const DRAIN_SECONDS = 30; // the server's default, which the dialog does not change

/** `unloadToo(models)` is called for a click on the server's suggestion of what to unload so that it fits. */
export function whatIf(unloadToo) {
  const sentences = h("ul", { class: "sentences", role: "list" });
  const update = keyed(sentences, ({ key }) => key, ({ tone }) => {
    const element = h("li", { class: tone });
    return { element, update: (sentence) => text(element, sentence.words) };
  });
  const steps = h("ol", { class: "numbered" });
  const order = h("details", {}, h("summary", {}, "Steps in order"), steps);
  const reason = refusal(null);
  const element = h("div", { class: "happens", role: "status" }, sentences, reason.element, order);
  return {
    element,
    /** Shows a plan (null: none) of a model; called again as the cluster changes. `isNew`: the plan is another one. */
    show(plan, model, cluster, isNew) {
      element.hidden = plan === null;
      if (plan === null) return;
      update(plan.error === null ? sentencesOf(plan, model, cluster) : []);
      if (!isNew) return;
      steps.replaceChildren(...plan.steps.map((step) => h("li", {}, step)));
      order.hidden = plan.steps.length < 2;
      reason.clear();
      if (plan.error !== null) reason.show(plan.error, suggestionOf(plan, unloadToo));
    },
  };
}

function suggestionOf({ unloadToFit }, unloadToo) {
  return unloadToFit.length === 0 ? [] : [[`Unload ${names(unloadToFit)} for it`, () => unloadToo(unloadToFit)]];
}

/** The sentences about a plan that would be accepted, each with a key by which it is kept. */
export function sentencesOf(plan, model, { models, tasks }) {
  const { adopts, unloads, unloadInstances, downloads, pauses, placements, loadFirst } = plan;
  const found = [];
  const say = (key, words, tone = "message") => words && found.push({ key, words, tone });
  if (adopts.length > 0 && placements.length === 0) {
    say("follows", "It is already loaded. Nothing would be placed: the operation follows the existing instance.");
  }
  if (placements.length > 0) say("place", `Loads ${model.name} on ${labels(placements[0].nodes.map(({ node }) => node))}: ${manner(placements[0])}.`);
  for (const { gib, node } of downloads) say(`download ${node?.id}`, `Downloads ${amount(gib, "GiB", 1) ?? "weights of unknown size"} to ${label(node)} first.`);
  if (unloads.length > 0) {
    const ids = new Set(unloadInstances.map(({ id }) => id));
    const one = unloads.length === 1;
    const old = names(unloads);
    if (loadFirst) say("order", `${old} ${one ? "serves" : "serve"} until ${model.name} is ready, and ${one ? "is" : "are"} unloaded then.`);
    else {
      const nothing = isAnyReady(models, ids) ? "" : ": until then the cluster serves no model";
      say("order", `${old} ${one ? "is" : "are"} unloaded first, before ${model.name} is loaded${nothing}.`, nothing === "" ? "message" : "failure");
    }
    say("running", runningOf(tasks, ids, DRAIN_SECONDS));
    say("frees", freesOf(models.flatMap(({ instances }) => instances).filter(({ id }) => ids.has(id))));
    say("undo", "If the load fails, what was unloaded is restored.");
  }
  say("pauses", pausesOf(pauses));
  return found;
}
