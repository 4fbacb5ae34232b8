// The buttons of a deployment: pause, resume, delete. Creating and changing one has a dialog of its own.

import { confirm } from "./confirm.js";
import { DELETE, PAUSE, RESUME } from "./documents.js";
import { h } from "./dom.js";
import { attempt } from "./notice.js";
import { place } from "./plan.js";

function option(name, value, label, checked) {
  return h("label", { class: "tick" }, h("input", { type: "radio", name, value, checked }), h("span", {}, label));
}

/** A local time as an input of type datetime-local has it: 2026-11-27T06:00. */
function localText(moment) {
  return new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** Asks until when; then pauses. */
export async function pause({ name }) {
  const soonest = localText(new Date(Date.now() + 60_000));
  const until = h("input", { type: "datetime-local", name: "until", min: soonest, "aria-label": "Paused until", disabled: true });
  const timed = () => {
    until.disabled = !form.querySelector('[value="time"]').checked;
    until.required = !until.disabled;
    if (until.required) until.focus();
  };
  const form = h(
    "fieldset",
    { change: (event) => event.target !== until && timed() },
    h("legend", {}, "Until"),
    option("end", "resumed", "It is resumed", true),
    option("end", "time", "A time", false),
    until,
  );
  const answer = await confirm(`Pause ${name}?`, "Pause", [
    form,
    h("p", {}, "While it is paused, nothing is loaded, unloaded or downloaded for it. What is loaded stays loaded."),
  ]);
  if (answer === null) return;
  await attempt(PAUSE, { name, until: answer.get("end") === "time" ? new Date(answer.get("until")).toISOString() : null });
}

/** Ends a pause, or loads one that was unloaded because nobody used it. */
export function resume({ name }) {
  return attempt(RESUME, { name });
}

/** Asks whether its instances are to be unloaded, naming them; then deletes it. */
export async function remove({ name, ownInstances, drainSeconds, operation }) {
  const list = h("ul", { class: "named" }, ownInstances.map((instance) => h("li", {}, place(instance))));
  const answer = await confirm(`Delete ${name}?`, "Delete", [
    ownInstances.length === 0
      ? h("p", {}, "It has loaded nothing: nothing is unloaded.")
      : h(
          "fieldset",
          {},
          h("legend", {}, "What it has loaded"),
          list,
          option("loaded", "unload", "Unload it", true),
          option("loaded", "keep", "Keep it loaded", false),
        ),
    operation === null ? null : h("p", {}, "An operation for it is in progress. What it loads is unloaded again."),
    ownInstances.length === 0 ? null : h("p", {}, `Before an unload, running requests get up to ${drainSeconds} s to finish.`),
  ]);
  if (answer === null) return;
  await attempt(DELETE, { name, unload: answer.get("loaded") !== "keep" });
}
