// The question before a model is unloaded: which instances, what that frees, and whom it concerns. It follows the
// cluster while it is open.

import { confirm } from "./confirm.js";
import { UNLOAD } from "./documents.js";
import { h, say, text } from "./dom.js";
import { count, labels, manner } from "./format.js";
import { run } from "./actions.js";
import { factsOf } from "./unloading.js";

let cluster = null;
let refresh = () => {};

/** Takes the newest state. */
export function updateUnload(newest) {
  cluster = newest;
  refresh();
}

/** Asks for confirmation, which instances, and how long to wait for running requests; then unloads. */
export async function unload(model) {
  const { id, name, instances } = model;
  const running = h("p", { role: "status" });
  const frees = h("p");
  const after = h("p", { class: "failure" });
  const pauses = h("p");
  const drain = h("input", { type: "number", name: "drain", min: 0, max: 3600, value: 30, required: true, input: () => refresh() });
  const choice = (value, words, checked) =>
    h("label", { class: "tick" }, h("input", { type: "radio", name: "instance", value, checked, change: () => refresh() }), h("span", {}, words));
  const which =
    instances.length === 1
      ? h("p", {}, placeOf(instances[0]))
      : h("fieldset", {}, h("legend", {}, "Which"), choice("", `All ${count(instances.length, "instance")}`, true), instances.map((each) => choice(each.id, placeOf(each), false)));
  refresh = () => {
    const chosen = which.querySelector(":checked")?.value || null;
    const now = factsOf(cluster, id, chosen, drain.value);
    say(running, now.running);
    text(frees, now.frees);
    text(after, now.after);
    text(pauses, now.pauses);
  };
  refresh();
  const content = [which, running, frees, after, pauses, h("label", { class: "number" }, "Seconds to wait for running requests", drain)];
  const answer = await confirm(`Unload ${name}?`, "Unload", content);
  refresh = () => {};
  if (answer === null) return;
  await run(UNLOAD, { model: id, instance: answer.get("instance") || null, drainSeconds: Number(answer.get("drain")) });
}

function placeOf(instance) {
  return `${manner(instance)} on ${labels(instance.shards.map(({ node }) => node))}`;
}
