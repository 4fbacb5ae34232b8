// What a click on a row does: unload a model, cancel an operation. Loads and swaps have a dialog of their own.

import { confirm } from "./confirm.js";
import { CANCEL, UNLOAD } from "./documents.js";
import { h } from "./dom.js";
import { count, labels, manner } from "./format.js";
import { showOperation } from "./operations.js";
import { refusal } from "./refusal.js";
import { send } from "./send.js";

const notice = document.getElementById("notice");
const told = refusal(null); // the notice itself is the alert
notice.append(told.element, h("button", { type: "button", click: hide }, "Dismiss"));

function hide() {
  notice.hidden = true;
  told.clear();
}

async function wish(document, variables) {
  hide();
  try {
    const { operation, error } = await send(document, variables);
    if (error === null) return showOperation(operation.id);
    told.show(error);
  } catch (problem) {
    told.show(problem);
  }
  notice.hidden = false;
}

/** Asks whether it is meant, of which instances, and how long to wait for running requests; then unloads. */
export async function unload(model) {
  const several = model.instances.length > 1;
  const choice = (value, words, checked) =>
    h("label", { class: "tick" }, h("input", { type: "radio", name: "instance", value, checked }), words);
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
  await wish(UNLOAD, { model: model.id, instance: answer.get("instance") || null, drainSeconds: Number(answer.get("drain")) });
}

/** Stops an operation, which undoes what it did. */
export function cancel(id) {
  return wish(CANCEL, { id });
}
