// The buttons in the rows: unload a model, cancel an operation. Loads and swaps have a dialog of their own.

import { confirm } from "./confirm.js";
import { CANCEL, CANCEL_TASK, UNLOAD } from "./documents.js";
import { h } from "./dom.js";
import { count, labels, manner, words } from "./format.js";
import { attempt, showPaused } from "./notice.js";
import { showOperation } from "./operations.js";

async function run(document, variables) {
  const payload = await attempt(document, variables);
  if (payload === null) return;
  showPaused(payload.paused);
  showOperation(payload.operation.id);
}

/** Asks for confirmation, which instances, and how long to wait for running requests; then unloads. */
export async function unload(model) {
  const several = model.instances.length > 1;
  const choice = (value, label, checked) =>
    h("label", { class: "tick" }, h("input", { type: "radio", name: "instance", value, checked }), label);
  const place = (instance) => `${manner(instance)} on ${labels(instance.shards.map(({ node }) => node))}`;
  const answer = await confirm(`Unload ${model.name}?`, "Unload", [
    several
      ? h(
          "fieldset",
          {},
          h("legend", {}, "Which"),
          choice("", `All ${count(model.instances.length, "instance")}`, true),
          model.instances.map((instance) => choice(instance.id, place(instance), false)),
        )
      : h("p", {}, model.instances.map(place).join()),
    h(
      "label",
      { class: "number" },
      "Seconds to wait for running requests",
      h("input", { type: "number", name: "drain", min: 0, max: 3600, value: 30, required: true }),
    ),
  ]);
  if (answer === null) return;
  await run(UNLOAD, { model: model.id, instance: answer.get("instance") || null, drainSeconds: Number(answer.get("drain")) });
}

/** Cancels an operation; the server undoes what it did. */
export function cancel(id) {
  return run(CANCEL, { id });
}

/** Asks for confirmation; then cancels a request to a model. */
export async function cancelTask({ id, kind, model }) {
  const what = h("p", {}, `${model.name}: ${words(kind)}. Its client gets no more of the answer.`);
  const answer = await confirm("Cancel this request?", "Cancel the request", [what], "Let it run");
  if (answer !== null) await attempt(CANCEL_TASK, { id });
}
