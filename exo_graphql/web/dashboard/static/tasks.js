// The tasks of the loaded models: requests, and exo's own work.

import { attribute, h, section, text } from "./dom.js";
import { words } from "./format.js";

/** `cancel(task)` is offered for a request that exo can cancel. */
export function taskSection(cancel) {
  const update = section("tasks", (task) => task.id, (task) => taskRow(task, cancel));
  return (cluster) => update(cluster.tasks);
}

function taskRow(first, cancel) {
  let task = first;
  const model = h("p", { class: "facts" });
  const status = h("span", { class: "badge" });
  const name = `Cancel: ${words(first.kind)} of ${first.model?.name ?? "a removed model"}`;
  const stop = h("button", { type: "button", "data-operate": true, "data-exo": true, "aria-label": name, click: () => cancel(task) }, "Cancel…");
  const element = h("li", { class: "row", "data-task": first.id }, h("div", { class: "head" }, h("h3", {}, words(first.kind)), status, model, h("div", { class: "acts" }, stop)));
  return {
    element,
    update(now) {
      task = now;
      attribute(element, "data-status", now.status);
      attribute(element, "data-active", now.active);
      text(status, words(now.status));
      text(model, now.model === null ? "of a removed model" : now.model.name);
      stop.hidden = !now.active || now.commandId === null;
    },
  };
}
